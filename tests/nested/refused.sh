# SPDX-License-Identifier: MIT
# hosts: no-h-5.10
# limit: 40
# Harts without the hypervisor extension: KVM's module says so and does not load, whatever the kernel takes their names of extensions for, and nothing of it stays.

dmesg >dmesg
# Linux 5.10 takes names such as Zicbom for letters, and sees an `h` here; the hart's device tree has no such letter.
has false-h '^\[.*\] riscv: ISA extensions [a-z]*h' dmesg
check no-h "the harts have the hypervisor extension, or none can be seen" awk '/^isa/ { n++; h += $3 ~ /^rv64[a-gi-z]*h/ } END { exit !n || h }' /proc/cpuinfo
n=0
while [ $n -lt 5 ]; do
	n=$((n + 1))
	kernel_mark "load $n"
	! modprobe kvm 2>errors || { not_ok "load" "round $n: it loads"; break; }
	grep -q 'No such device' errors || { not_ok load "round $n: $(cat errors)"; break; }
	[ -n "$(kernel_said "load $n" 'kvm \[[0-9]+\]: the hypervisor extension is not available')" ] || { not_ok load "round $n: KVM's reason is not told"; break; }
	[ ! -e /dev/kvm ] || { not_ok load "round $n: there is a /dev/kvm"; break; }
	! grep -q '^kvm' /proc/modules /proc/slabinfo || { not_ok load "round $n: something stays: $(grep -ho '^kvm[a-z_]*' /proc/modules /proc/slabinfo | tr '\n' ' ')"; break; }
done
[ $n != 5 ] || [ "$failed" != 0 ] || ok load
guest 20 run --nodefaults --network mode=none -m 64 -c1 -k "$QUICK"
same run-status "$status" 1
has run-says /dev/kvm "$errors"
command_of 15 doctor
check doctor-status "doctor is content without KVM" [ "$status" != 0 ]
