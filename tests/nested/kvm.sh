# SPDX-License-Identifier: MIT
# hosts: arm64* plic plic-5.10* plic-kernel* aia-kernel
# limit: 360
# The host's own KVM against its promises: the programs of tests/kvm. What they find is the host kernel's doing and not lkvm's.

found=''
for program in /root/kvm/kvm-*; do
	[ -x "$program" ] || continue
	found=1 name=${program##*/kvm-} console=$LOGS/$TEST.${program##*/kvm-}.console
	timeout -s KILL $((90 * PATIENCE)) "$program" >"$console" 2>&1 </dev/null
	status=$? defect='' also=''
	# 6.12 in protected mode offers pointer authentication and does not give it: Debian's kernel has the defect, one with arch/arm64/kernel has not.
	case $name-$FLAVOUR-$(uname -r) in
	ptrauth-arm64-protected-6.12*+deb*) defect='sign:.the.guest.was.promised.PtrAuth.and.gets.UNDEFINED' ;;
	# KVM of 7.3 tells an eventfd of the end of a level interrupt only when it saw the interrupt active, between two exits
	# (vgic_v3_fold_lr); a guest that takes and ends it within one run is never heard, and its line stays up.
	its-arm64*-7.3*) defect='level:' also='level-resampled:' ;;
	# Upstream's, and what arch/riscv/kernel cures: irqfds that deliver nothing, loads that are not sign-extended or change x0, timers that never come.
	plic-plic-6.*) defect='no-irqfd-capability: irqfd-refused: resample-refused:' ;;
	exits-plic-6.*) defect='lb:.loaded lh:.loaded lw:.loaded c.lw:.loaded c.lwsp:.loaded' also='hsm: answer 2' ;;
	mmio-plic-6.*) defect='[a-z0-9-]*-lb:.*0xf [a-z0-9-]*-lh:.*0xf [a-z0-9-]*-lw:.*0xf [a-z0-9-]*-c.lw:.*0xf [a-z0-9-]*-c.lwsp:.*0xf sd-x0-after-ld-x0:' ;;
	wake-plic-6.*) defect='timer' ;;
	# And what it does not: hart ids are cut to 32 bits, blocks are not split for a dirty log and
	# mapped whatever the slot's host address is, and what user space writes to sip wakes nobody. A loaded timer's deadline is lost now and then.
	irqs-plic-6.*) defect='wfi-written:' also='timer-loaded-[a-z]*:' ;;
	irqs-*-kernel*-6.*) defect='wfi-written:' ;;
	# Where SBI v0.1 is built in, guests get the G-stage fault of the host's that reads their masks of harts.
	sbi-plic-6.* | sbi-*-kernel*-6.*) defect='hsm-status-wide: hsm-start-wide:' also='(legacy-[a-z-]*|ipi): (traps|scause 21|harts 0x0)' ;;
	stage2-plic-6.* | stage2-*-kernel*-6.*) defect='dirty-hugetlb-2m:.KVM_RUN:.File.exists hugetlb-odd:.*status.0xe' also='dirty-hugetlb-1g: KVM_RUN: File exists' ;;
	esac
	# Each word of $defect is how a line goes on after FAIL, and must be found. If it is not any more, either the program has gone blind, or the kernel is mended
	# and the word is to go. What is in $also may be found.
	if [ -n "$defect" ]; then
		same "$name-finds-defect" "$status" 1
		unfound='' known=$also
		set -f
		for word in $defect; do
			grep -aqE "^FAIL $word" "$console" || unfound="$unfound $word"
			known="$known${known:+|}$word"
		done
		set +f
		same "$name-defect" "$unfound" ''
		grep -a '^FAIL' "$console" | grep -avE "^FAIL ($known)" >"$console.others"
		hasnt "$name-others" . "$console.others"
		continue
	fi
	said "$name"
	# This host has set a page of 1 GiB aside.
	[ "$name-$FLAVOUR" != stage2-plic-5.10-plain ] || hasnt stage2-has-1g '^SKIP hugetlb-1g' "$console"
	case $status in
	0 | 77) ok "$name" ;;
	1) grep -aq '^FAIL' "$console" || not_ok "$name" "exit status 1 and no reason" ;;
	*) not_ok "$name" "exit status $status, last line '$(tail -n 1 "$console")'" ;;
	esac
done
[ -n "$found" ] || skip programs "they are not beside this lkvm: give --lkvm one that stands in its build folder"
