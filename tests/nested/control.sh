# SPDX-License-Identifier: MIT
# hosts: plic plic-5.10 plic-kernel plic-kernel-5.10 aia* arm64 s390x
# limit: 150
# list, stat, pause, resume, debug, balloon, stop.

start run --name ctl -k "$QUICK" -i "$INITRD" -c2 -m 128 --balloon -p "loglevel=4 lkvmtest=ticks"
if expect "^tick 3" 50; then ok up; else not_ok up "the guest did not come up: $(tail -n 1 "$errors")"; fi
command_of 10 list
same list-status "$status" 0
has list "ctl" "$output"
has list-pid "(^|[^0-9])$pid([^0-9]|\$)" "$output"
command_of 10 stat --name ctl
same stat-status "$status" 0
has stat "." "$output"
[ -z "$chip" ] || has stat-irqchip "^ *irqchip $chip( |\$)" "$output"

command_of 10 pause --name ctl
same pause-status "$status" 0
# What it had said before lkvm writes a moment later.
sleep 2
a=$(grep -ac '^tick' "$console")
sleep 2
b=$(grep -ac '^tick' "$console")
same paused "$b" "$a"
command_of 10 list
has list-paused "[Pp]aused" "$output"
command_of 10 resume --name ctl
same resume-status "$status" 0
if expect "^tick $((b + 5))" 15; then ok resumed; else not_ok resumed "no more ticks after resume"; fi

command_of 10 debug --name ctl --dump
same debug-status "$status" 0
has debug-dump "(sepc|pc|PC|PSW)" "$output"
command_of 10 debug --name ctl --sysrq h
same sysrq-status "$status" 0
if expect "sysrq: HELP" 10; then ok sysrq; else not_ok sysrq "no help from the guest's kernel"; fi
command_of 10 regs ctl
same regs-status "$status" 0
has regs-vcpus "^vCPU 1:" "$output"
has regs "^([a-z.]*pc +0xffff|core.psw_addr +0x)" "$output"
command_of 10 stat --memory --name ctl
same memory-status "$status" 0
has memory "total_memory +[0-9]{8}" "$output"
command_of 10 stat --name ctl --json
has stat-json '^\{"name":"ctl","pid":[0-9]+,"state":"running"' "$output"
command_of 10 stop --name ctl
same stop-status "$status" 0
wait_exit 15
if [ "$status" != hung ]; then ok stopped; else not_ok stopped "stop did not end it"; fi
command_of 10 list
hasnt list-empty "ctl" "$output"
command_of 10 stop --name nobody
if [ "$status" = 1 ]; then ok stop-unknown; else not_ok stop-unknown "status $status for a guest that is not there"; fi
has stop-unknown-said "nobody" "$errors"

# What has a power button is asked to shut itself down.
if [ "$ARCH" = s390x ]; then
	start run --name asked -k "$QUICK" -i "$INITRD" -c2 -m 128 -p "loglevel=4 lkvmtest=ticks"
	expect "^tick 1" 50
	command_of 10 shutdown --name asked
	same shutdown-status "$status" 0
	wait_exit 20
	exits shutdown 0
	start run --name restarted -k "$QUICK" -i "$INITRD" -c2 -m 128 -p "loglevel=4 lkvmtest=ticks"
	expect "^tick 1" 50
	command_of 10 debug --name restarted --nmi 1
	same nmi-status "$status" 0
	wait_exit 20
	exits nmi 5
fi

# A guest that was killed leaves an entry that cleans itself up.
start run --name killed -k "$QUICK" -i "$INITRD" -c1 -m 128 -p "loglevel=4 lkvmtest=ticks"
expect "^tick 1" 50
kill -9 "$pid"
wait "$pid" 2>/dev/null
command_of 10 list
same stale-status "$status" 0
hasnt stale "killed" "$output"

# The same name twice.
start run --name twin -k "$QUICK" -i "$INITRD" -c1 -m 128 -p "loglevel=4 lkvmtest=ticks"
expect "^tick 1" 50
first=$pid
guest 20 run --name twin -k "$QUICK" -i "$INITRD" -c1 -m 128 -p "loglevel=4 lkvmtest=poweroff"
exits twin 1
has twin-said "twin" "$errors"
pid=$first
command_of 10 stop --name twin
wait_exit 10
if [ "$status" != hung ]; then ok twin-stopped; else not_ok twin-stopped "stop did not end it"; fi
