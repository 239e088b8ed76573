# SPDX-License-Identifier: MIT
# hosts: no-h-5.10
# limit: 40
# Harts without the hypervisor extension: KVM's module says so and does not load, whatever the kernel takes their names of extensions for, and nothing of it stays.

dmesg >dmesg
# Linux 5.10 takes names such as Zicbom for letters, and sees an `h` here; the hart's device tree has no such letter.
has false-h '^\[.*\] riscv: ISA extensions [a-z]*h' dmesg
check no-h "the harts have the hypervisor extension, or none can be seen" awk '/^isa/ { n++; h += $3 ~ /^rv64[a-gi-z]*h/ } END { exit !n || h }' /proc/cpuinfo
# refused ROUND : why not, if it is not.
refused() {
	kernel_mark "load $1"
	if modprobe kvm 2>errors; then
		echo "it loads"
	elif ! grep -q 'No such device' errors; then
		cat errors
	elif [ -z "$(kernel_said "load $1" 'kvm \[[0-9]+\]: the hypervisor extension is not available')" ]; then
		echo "KVM's reason is not told"
	elif [ -e /dev/kvm ]; then
		echo "there is a /dev/kvm"
	else
		grep -ho '^kvm[a-z_]*' /proc/modules /proc/slabinfo | sed 's/^/something stays: /'
	fi
}
for round in 1 2 3 4 5; do
	why=$(refused $round)
	[ -z "$why" ] || break
done
same load "$why" ''
guest 20 run --nodefaults --network mode=none -m 64 -c1 -k "$QUICK"
same run-status "$status" 1
has run-says /dev/kvm "$errors"
command_of 15 doctor
check doctor-status "doctor is content without KVM" [ "$status" != 0 ]
