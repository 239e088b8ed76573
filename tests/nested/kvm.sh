# SPDX-License-Identifier: MIT
# hosts: arm64* plic plic-5.10* plic-kernel*
# limit: 360
# The host's own KVM against its promises: the programs of tests/kvm. What they find is the host kernel's doing and not lkvm's.

found=''
for program in /root/kvm/kvm-*; do
	[ -x "$program" ] || continue
	found=1 name=${program##*/kvm-} console=$LOGS/$TEST.${program##*/kvm-}.console
	timeout -s KILL $((90 * PATIENCE)) "$program" >"$console" 2>&1 </dev/null
	status=$? defect=''
	# 6.12 in protected mode offers pointer authentication and does not give it: Debian's kernel has the defect, one with arch/arm64/kernel has not.
	case $name-$FLAVOUR-$(uname -r) in
	ptrauth-arm64-protected-6.12*+deb*)
		same "$name-finds-defect" "$status" 1
		has "$name-defect" '^FAIL sign: the guest was promised PtrAuth and gets UNDEFINED' "$console"
		continue
		;;
	# KVM of 7.3 tells an eventfd of the end of a level interrupt only when it saw the interrupt active, between two exits
	# (vgic_v3_fold_lr); a guest that takes and ends it within one run is never heard, and its line stays up.
	its-arm64*-7.3*)
		hasnt "$name-others" '^FAIL [^l]' "$console"
		case $status in
		0) ok "$name" ;;
		1) skip "$name-level" "known of 7.3: $(grep -a '^FAIL level' "$console" | head -n 1)" ;;
		*) not_ok "$name" "exit status $status, last line '$(tail -n 1 "$console")'" ;;
		esac
		continue
		;;
	# Upstream's, and what arch/riscv/kernel cures: irqfds that deliver nothing, loads that are not sign-extended, timers that never come.
	plic-plic-6.*) defect='^FAIL (no-irqfd-capability|irqfd-refused|resample-refused): KVM_(CAP_)?IRQFD of a VM without an irqchip' ;;
	exits-plic-6.*) defect='^FAIL ((lb|lh|lw|c.lw|c.lwsp): loaded 0x|hsm: answer 2)' ;;
	mmio-plic-6.*) defect='^FAIL ([a-z0-9-]*-(lb|lh|lw|c.lw|c.lwsp): .* should be 0xf|sd-x0-after-ld-x0:)' ;;
	wake-plic-6.*) defect='^FAIL timer' ;;
	# And what it does not: what is loaded from MMIO into x0 is stored from it, hart ids are cut to 32 bits, blocks are not split for a dirty log and
	# mapped whatever the slot's host address is, and what user space writes to sip wakes nobody.
	irqs-plic-6.*) defect='^FAIL (wfi-written|timer-loaded-[a-z]*):' ;;
	irqs-plic-kernel*-6.*) defect='^FAIL wfi-written:' ;;
	mmio-plic-kernel*-6.*) defect='^FAIL sd-x0-after-ld-x0:' ;;
	# Where SBI v0.1 is built in, guests get the G-stage fault of the host's that reads their masks of harts.
	sbi-plic-6.* | sbi-plic-kernel*-6.*) defect='^FAIL (hsm-(status|start)-wide:|(legacy-[a-z-]*|ipi): (traps|scause 21|harts 0x0))' ;;
	stage2-plic-6.* | stage2-plic-kernel*-6.*) defect='^FAIL (dirty-hugetlb-(2m|1g): KVM_RUN: File exists|hugetlb-odd: .*status 0xe)' ;;
	esac
	if [ -n "$defect" ] && [ "$status" = 1 ]; then
		grep -a '^FAIL' "$console" | grep -avE "$defect" >"$console.others"
		has "$name-defect" "$defect" "$console"
		hasnt "$name-others" . "$console.others"
		continue
	fi
	said "$name"
	case $status in
	0 | 77) ok "$name" ;;
	1) grep -aq '^FAIL' "$console" || not_ok "$name" "exit status 1 and no reason" ;;
	*) not_ok "$name" "exit status $status, last line '$(tail -n 1 "$console")'" ;;
	esac
done
[ -n "$found" ] || skip programs "they are not beside this lkvm: give --lkvm one that stands in its build folder"
