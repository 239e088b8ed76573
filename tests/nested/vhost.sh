# SPDX-License-Identifier: MIT
# hosts: plic plic-5.10 plic-kernel plic-kernel-5.10 arm64 s390x
# limit: 240
# A network card whose queues the host's kernel serves (vhost-net): ping, a TCP transfer in both directions, and once more with several queue pairs and a pause in between.

modprobe vhost_net 2>/dev/null
[ "$ARCH" != s390x ] || mount -t debugfs debug /sys/kernel/debug 2>/dev/null
if [ ! -c /dev/vhost-net ]; then
	not_ok device "the host has no /dev/vhost-net"
	return 0
fi
mkdir www
random www/blob $MIB
# On all addresses: the tap is not there yet.
httpd -p 8080 -h www

# counts : what has happened so far: doorbells and interruptions that KVM saw, exits to user space, and how often lkvm's loop woke up.
counts() {
	local task kvm=/sys/kernel/debug/kvm
	for task in "/proc/$pid"/task/*; do
		[ "$(cat "$task/comm")" != lkvm-loop ] || break
	done
	cat $kvm/instruction_diagnose_500 $kvm/inject_io $kvm/exit_userspace
	sed -n 's/^voluntary_ctxt_switches:[^0-9]*//p' "$task/status"
}

# in_kernel WHAT DOORBELLS INTERRUPTIONS EXITS WAKEUPS, twice : none of the many went through lkvm.
in_kernel() {
	local doorbells=$(($6 - $2)) interruptions=$(($7 - $3)) exits=$(($8 - $4)) wakeups=$(($9 - $5))
	echo "$1: $doorbells doorbells, $interruptions interruptions, $exits exits to user space, $wakeups wake-ups"
	check "$1-doorbells" "$doorbells doorbells, $exits exits" [ $doorbells -gt $((4 * exits)) ]
	check "$1-interruptions" "$interruptions interruptions, $wakeups wake-ups of lkvm" [ $interruptions -gt $((4 * wakeups)) ]
}

# transfer WHAT SECONDS ARGUMENT... : the guest of the network test, with these.
transfer() {
	local what=$1 limit=$2 sent nc before
	shift 2
	rm -f open received
	mkfifo open
	nc -l -p 9000 >received <open &
	nc=$!
	exec 9>open
	# What is counted or held begins when it is told to: the answer to the fetch, the reading of what is sent.
	until grep -qsE ':2328 [0-9A-F]+:0000 0A ' /proc/net/tcp /proc/net/tcp6 || ! kill -0 $nc; do usleep 50000; done
	[ "$what" != pause ] || kill -STOP $nc
	[ "$ARCH-$what" != s390x-one ] || kill -STOP "$(pidof httpd)"
	start run --name vhost -i "$INITRD" -m 256 -p "loglevel=4 lkvmtest=net mib=$MIB" "$@"
	if expect "^guest: mac" 60; then ok "$what-up"; else not_ok "$what-up" "no guest: $(tail -n 1 "$errors")"; fi
	# The kernel's thread that serves the queues is one of lkvm's, before Linux 6.4 one of the kernel's own.
	if cat "/proc/$pid"/task/*/comm /proc/[0-9]*/comm 2>/dev/null | grep -q "^vhost-"; then ok "$what-served"; else not_ok "$what-served" "lkvm has no thread of vhost"; fi
	if [ "$ARCH-$what" = s390x-one ]; then
		before=$(counts)
		kill -CONT "$(pidof httpd)"
		expect "^guest: sent" "$limit"
		# shellcheck disable=SC2046,SC2086
		in_kernel "$what" $before $(counts)
	fi
	if [ "$what" = pause ]; then
		"$LKVM" pause --name vhost
		kill -CONT $nc
		sleep 1
		if grep -q "^guest: send done" "$console"; then not_ok pause-holds "the transfer was over before"; else ok pause-holds; fi
		"$LKVM" resume --name vhost
	fi
	wait_exit "$limit"
	exits "$what-exit" 0
	has "$what-ping" "^guest: ping ok"
	has "$what-big-ping" "^guest: big ping ok"
	has "$what-fetch" "^guest: fetched $(sum www/blob)"
	sent=$(sed -n 's/^guest: sent \([0-9a-f]*\).*/\1/p' "$console" | tr -d '\r')
	pid=$nc
	wait_exit 10
	exec 9>&-
	same "$what-send" "$(wc -c <received) $(sum received)" "$((MIB << 20)) $sent"
}

transfer one 100 -k "$QUICK" -c1 --network mode=tap,host_ip=10.77.0.1,vhost=1
transfer pause 100 -k "$QUICK" -c2 --network mode=tap,host_ip=10.77.0.1,vhost=1,queues=2
kill "$(pidof httpd)" 2>/dev/null

# Without the device: a sentence, and no guest.
mv /dev/vhost-net /dev/vhost-net.away
guest 10 run -k "$QUICK" -i "$INITRD" -m 128 --network mode=tap,vhost=1
if [ "$status" != 0 ]; then ok missing-status; else not_ok missing-status "the guest ran"; fi
has missing "/dev/vhost-net.*modprobe vhost_net" "$errors"
mv /dev/vhost-net.away /dev/vhost-net
