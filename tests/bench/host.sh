#!/bin/sh
# SPDX-License-Identifier: MIT
# Measures inside the emulated host. /share/settings says what; each result is a line "FIGURE VMM VALUE" in /share/results.
# The VMMs take turns: one round of each, then the next round.
export LKVM VMM
. /share/settings
LKVM=/tmp/lkvm
cp /share/lkvm /tmp/lkvm
for f in poweroff.flat hook.sh initrd; do [ ! -f "/share/$f" ] || cp "/share/$f" /tmp/; done
[ ! -d /share/peer ] || cp -r /share/peer /tmp/peer
SMALL=/root/Small
[ -f "$SMALL" ] || SMALL=/root/Image
truncate -s 64M /tmp/disk
# Blocks that are there, in memory.
dd if=/dev/urandom of=/tmp/some bs=64k count=16 2>/dev/null
for i in $(seq 64); do cat /tmp/some; done >/tmp/disk
rm /tmp/some
cp /tmp/disk /tmp/small.disk && truncate -s 1M /tmp/small.disk
tunctl -t bench0 >/dev/null
ip link set bench0 up

result() { echo "$1 $VMM $2" >>/share/results; }

# command VMM : sets the words of its command; KERNEL, INITRD, PARAMS, CPUS, MEM, DISK and NET may be used in it.
command_of() {
	VMM=$1
	template=$(cat "/share/command.$VMM")
}

# conduct PREFIX : runs the VMM with the benchmark's guest and notes what it says.
conduct() {
	eval "/bin/conduct $LIMIT /tmp/hook.sh $template" >/tmp/said 2>"/share/console.$VMM.$1"
	while read -r name value; do
		case $name in
		failed | status)
			[ "$name $value" = "status 0" ] || echo "failed $VMM $1: $name $value" >>/share/results ;;
		*) result "$1-$name" "$value" ;;
		esac
	done </tmp/said
	sync
}

for figure in $FIGURES; do
	rounds=$RUNS
	[ "$figure" != instructions ] || rounds=$((RUNS + 1))
	[ "$figure" != memory ] || rounds=1
	for round in $(seq "$rounds"); do
		for v in $VMMS; do
			command_of "$v"
			KERNEL=$SMALL INITRD=/tmp/initrd CPUS=1 MEM=256 DISK='' NET='' PARAMS="$PARAMS_ALL"
			case $figure in
			instructions)
				KERNEL=/tmp/poweroff.flat INITRD='' DISK=/tmp/small.disk PARAMS=''
				eval "/bin/stopwatch 1 $template" >/tmp/said 2>"/share/console.$VMM.instructions"
				read -r ns status </tmp/said
				if [ "$status" != 0 ]; then
					echo "failed $VMM instructions: status $status" >>/share/results
				elif [ "$round" != 1 ]; then # the first one warms up the host's caches
					result instructions "$ns"
				fi
				;;
			boot)
				KERNEL=/root/Image CPUS=$BOOT_CPUS PARAMS="$PARAMS_ALL bench=boot"
				conduct boot
				;;
			memory)
				CPUS=2 DISK=/tmp/disk NET=bench0 PARAMS="$PARAMS_ALL bench=up"
				conduct memory
				;;
			irq)
				[ "${v#lkvm}" != "$v" ] || continue
				KERNEL=/share/irqcost INITRD='' PARAMS="irqs=$READS"
				conduct irq
				;;
			read)
				CPUS=$BOOT_CPUS DISK=/tmp/disk PARAMS="$PARAMS_ALL bench=read:1:$READS,read:32:$READS"
				conduct read
				;;
			esac
			echo "$figure $VMM, round $round"
		done
	done
done
