# SPDX-License-Identifier: MIT
# hosts: plic plic-5.10 plic-5.10-debug plic-kernel plic-kernel-5.10 plic-kernel-debug aia-kernel arm64 s390x
# limit: 240
# A network card whose queues the host's kernel serves (vhost-net): ping, a TCP transfer in both directions, and once more with several queue pairs and a pause in between.

modprobe vhost_net 2>/dev/null
if [ ! -c /dev/vhost-net ]; then
	not_ok device "the host has no /dev/vhost-net"
	return 0
fi
mkdir www
random www/blob $MIB
# On all addresses: the tap is not there yet.
httpd -p 8080 -h www

# through_kernel WHAT : each of many pings is a doorbell and an interruption. None of them goes through lkvm, unless the PLIC is its own.
through_kernel() {
	measure "$1" pings --network mode=tap,host_ip=10.77.0.1,vhost=1
	check "$1-interruptions" "$measured" [ $taken -ge 1000 ]
	if [ "$chip" = plic ]; then
		check "$1-by-exits" "$measured" [ $exits -ge $taken ]
		check "$1-by-lkvm" "$measured" [ $((2 * slept)) -ge $taken ]
	else
		check "$1-no-exits" "$measured" [ $((4 * exits)) -lt $taken ]
		check "$1-no-lkvm" "$measured" [ $((4 * slept)) -lt $taken ]
	fi
}

# transfer WHAT SECONDS ARGUMENT... : the guest of the network test, with these.
transfer() {
	local what=$1 limit=$2 sent nc
	shift 2
	rm -f open received
	mkfifo open
	nc -l -p 9000 >received <open &
	nc=$!
	exec 9>open
	# What is sent while the guest is held is read when it has been.
	until grep -qsE ':2328 [0-9A-F]+:0000 0A ' /proc/net/tcp /proc/net/tcp6 || ! kill -0 $nc; do usleep 50000; done
	[ "$what" != pause ] || kill -STOP $nc
	start run --name vhost -i "$INITRD" -m 256 -p "loglevel=4 lkvmtest=net mib=$MIB" "$@"
	if expect "^guest: mac" 60; then ok "$what-up"; else not_ok "$what-up" "no guest: $(tail -n 1 "$errors")"; fi
	# The kernel's thread that serves the queues is one of lkvm's, before Linux 6.4 one of the kernel's own.
	if cat "/proc/$pid"/task/*/comm /proc/[0-9]*/comm 2>/dev/null | grep -q "^vhost-"; then ok "$what-served"; else not_ok "$what-served" "lkvm has no thread of vhost"; fi
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
through_kernel pings
# Lockdep shall see vhost at both PLICs of this host.
if [ "$FLAVOUR" = plic-5.10-debug ]; then
	chip=plic-kernel told='--irqchip plic-kernel'
	transfer kernel 100 -k "$QUICK" -c1 --network mode=tap,host_ip=10.77.0.1,vhost=1
	through_kernel kernel-pings
fi
kill "$(pidof httpd)" 2>/dev/null

# Without the device: a sentence, and no guest.
mv /dev/vhost-net /dev/vhost-net.away
guest 10 run -k "$QUICK" -i "$INITRD" -m 128 --network mode=tap,vhost=1
if [ "$status" != 0 ]; then ok missing-status; else not_ok missing-status "the guest ran"; fi
has missing "/dev/vhost-net.*modprobe vhost_net" "$errors"
mv /dev/vhost-net.away /dev/vhost-net
