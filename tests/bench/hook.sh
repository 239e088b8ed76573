#!/bin/sh
# SPDX-License-Identifier: MIT
# hook.sh NAME PID: what the benchmark looks at while the guest waits. Called by conduct, in the emulated host.
name=$1 pid=$2
case $name in
up)
	cat "/proc/$pid/smaps" >"/share/smaps.$VMM"
	echo "threads $(ls "/proc/$pid/task" | wc -l)"
	echo "up 1"
	;;
start | end | *-start | *-end)
	[ "${VMM#lkvm}" != "$VMM" ] || exit 0
	"$LKVM" stat --name bench --json | sed 's/"name":"blk0",/&\n/; s/"irqchip":{/\n&/' | tr -d '}]' |
		sed -n 's/^"mmio_exits":\([0-9]*\).*/\1/p; s/^"ccw_exits":\([0-9]*\).*/\1/p; s/^"irqchip":{.*"exits":\([0-9]*\).*/\1/p' |
		awk -v name="$name" '{ n += $1 } END { print "exits-" name, n + 0 }'
	;;
esac
