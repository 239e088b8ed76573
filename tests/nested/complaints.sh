# SPDX-License-Identifier: MIT
# hosts: plic plic-kernel-* plic-5.10* plic-6.12 arm64 s390x
# limit: 30
# A test of the tests: what the host's kernel complains of is noticed, and nothing else. The driver looks after each test.

# log WHAT LINE : what is noticed of a line in its log.
noticed() {
	kernel_mark complaints
	echo "$1" >/dev/kmsg
	kernel_said complaints "$2"
}
for line in 'WARNING: CPU: 1 PID: 71 at arch/riscv/kvm/vcpu.c:123' 'BUG: scheduling while atomic: lkvm/71' 'BUG: sleeping function called from invalid context' \
	'BUG: KASAN: use-after-free in kvm_vcpu_init' 'UBSAN: shift-out-of-bounds in x.c:1' 'WARNING: possible circular locking dependency detected' \
	'WARNING: suspicious RCU usage' 'Unable to handle kernel NULL pointer dereference at 0' 'BUG: Bad page state in process lkvm' \
	'kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)' 'INFO: trying to register non-static key.'; do
	[ -n "$(noticed "$line" "$COMPLAINTS")" ] || missed="$missed [$line]"
done
same noticed "$missed" ""
for line in 'watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [lkvm:71]' 'rcu: INFO: rcu_sched detected stalls on CPUs/tasks:' 'rcu: INFO: rcu_sched self-detected stall on CPU'; do
	[ -z "$(noticed "$line" "$COMPLAINTS")" ] || taken="$taken [$line]"
	[ -n "$(noticed "$line" "$STALLS")" ] || unseen="$unseen [$line]"
done
same stalls-noticed "$unseen" ""
for line in 'kvm [1]: hypervisor extension available' 'lkvm: a line' 'random: crng init done'; do
	[ -z "$(noticed "$line" "$COMPLAINTS|$STALLS")" ] || taken="$taken [$line]"
done
same quiet "$taken" ""
noticed 'WARNING: of an earlier test' "$COMPLAINTS" >/dev/null
mount -t debugfs none /sys/kernel/debug 2>/dev/null
kernel_mark complaints
same earlier "$(kernel_said complaints "$COMPLAINTS")" ""
# The driver shall not take these for the kernel's.
kernel_mark "test $TEST"
# After its first complaint, one while it booted as well, lockdep is silent.
if [ -f /proc/lockdep_stats ]; then
	same lockdep "$(sed -n 's/^ *debug_locks: *//p' /proc/lockdep_stats)" 1
fi
[ "${FLAVOUR%-debug}" = "$FLAVOUR" ] || check debug "this kernel has no lockdep or no kmemleak" [ -f /proc/lockdep_stats -a -f /sys/kernel/debug/kmemleak ]
# Real ones: KASAN's module of mistakes says by its exit status that it never stays. On one hart, where RCU calls what is queued in turn: its last mistake comes before it goes.
if [ "${FLAVOUR%-kasan}" != "$FLAVOUR" ]; then
	for round in first again; do
		kernel_mark complaints
		for module in test_kasan_module kasan_test_module; do taskset 1 modprobe $module; done
		# 6.12 warns of some of them before KASAN does.
		said=$(kernel_said complaints 'BUG: KASAN: ')
		check kasan-$round "KASAN finds no mistake of its module's" eval 'echo "$said" | grep -E "$COMPLAINTS"'
	done
	kernel_mark "test $TEST"
fi
