# SPDX-License-Identifier: MIT
# hosts: plic plic-5.10 plic-5.10-plain plic-kernel plic-kernel-5.10 aia* rv64 arm64* s390x*
# limit: 40
# What `lkvm doctor` and `lkvm regs` say of this host.

command_of 15 doctor
same doctor-status "$status" 0
has doctor-kvm "/dev/kvm" "$output"
# The host is what its flavour says.
case $FLAVOUR in
arm64 | arm64-gicv2) host="VHE mode initialized" ;;
arm64-nested) host="VHE\+NV2 mode initialized" ;;
arm64-nvhe) host="Hyp nVHE mode initialized" ;;
arm64-hvhe) host="Hyp hVHE mode initialized" ;;
arm64-protected) host="Protected [nh]VHE mode initialized" ;;
plic-5.10-plain) host='hypervisor extension available: Sv39x4, 14-bit VMIDs$' ;;
plic-5.10* | plic-kernel-5.10) host='hypervisor extension available: Sv57x4, 14-bit VMIDs, Sstc$' ;;
*) host='' ;;
esac
dmesg >dmesg
[ -z "$host" ] || has host "kvm \[[0-9]+\]: $host" dmesg
# It lets a guest try what KVM promises; Debian's 6.12 in protected mode breaks that promise.
case $FLAVOUR-$(uname -r) in
arm64-protected-6.12*+deb*) has doctor-ptrauth '^ *no +pointer authentication of addresses' "$output" ;;
arm64*) has doctor-ptrauth '^ *yes +pointer authentication of addresses' "$output" ;;
esac
case $FLAVOUR in
plic-kernel* | aia-kernel | plic-5.10*) has doctor-plic '^ *yes +PLIC in the kernel' "$output" ;;
plic | plic-6.12 | aia | rv64)
	has doctor-plic '^ *no +PLIC in the kernel' "$output"
	guest 10 run -k "$QUICK" -i "$INITRD" -m 128 --irqchip plic-kernel
	same plic-kernel-status "$status" 1
	has plic-kernel-refused "no PLIC.*--irqchip plic" "$errors"
	;;
esac
command_of 15 regs
same regs-status "$status" 0
case $ARCH in
s390x) names='psw_mask psw_addr prefix r15 a0 c0 f0 fpc todpr clock_comp' ;;
arm64) names='pc x0 sp pstate elr_el1 midr_el1 ttbr0_el1 sctlr_el1 cntv_cval_el0' ;;
*) names='pc ra sp mode satp_mode mvendorid timer' ;;
esac
for r in $names; do has "regs-$r" "(^|[^a-z])$r([^a-z]|\$)" "$output"; done
[ "$FLAVOUR" != aia ] || has regs-aia "siselect|iprio" "$output"
if [ "$(wc -l <"$output")" -gt 60 ]; then ok regs-many; else not_ok regs-many "$(wc -l <"$output") lines only"; fi
command_of 15 regs --json
same json-status "$status" 0
has json '^ *[{[]' "$output"
mv /dev/kvm /dev/kvm.away
command_of 15 doctor
if [ "$status" != 0 ]; then ok no-kvm-status; else not_ok no-kvm-status "doctor is content without /dev/kvm"; fi
cat "$errors" >>"$output"
has no-kvm "/dev/kvm" "$output"
mv /dev/kvm.away /dev/kvm
