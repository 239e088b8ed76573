# SPDX-License-Identifier: MIT
# hosts: plic plic-5.10 plic-5.10-plain plic-kernel plic-kernel-5.10 aia arm64* s390x
# limit: 150
# Ping and a TCP transfer in both directions through a tap device that was made beforehand.

tunctl -t tap0 >/dev/null
ip addr add 10.77.0.1/24 dev tap0
ip link set tap0 up
mkdir www
random www/blob $MIB
httpd -p 10.77.0.1:8080 -h www
# Its input stays open: at the end of it nc closes that direction, and the guest's nc takes that for the end of everything.
mkfifo open
nc -l -p 9000 >received <open &
nc=$!
exec 9>open
guest 120 run -k "$IMAGE" -i "$INITRD" -c2 -m 256 --network mode=tap,tapif=tap0,guest_mac=02:15:15:15:15:15 \
	-p "loglevel=4 lkvmtest=net mib=$MIB"
exits exit 0
has mac "^guest: mac 02:15:15:15:15:15"
has ping "^guest: ping ok"
has big-ping "^guest: big ping ok"
has fetch "^guest: fetched $(sum www/blob)"
sent=$(sed -n 's/^guest: sent \([0-9a-f]*\).*/\1/p' "$console" | tr -d '\r')
has sent "^guest: send done"
pid=$nc
wait_exit 10
exec 9>&-
same send "$(wc -c <received) $(sum received)" "$((MIB << 20)) $sent"
kill "$(pidof httpd)" 2>/dev/null
if [ -d /sys/class/net/tap0 ]; then ok tap-kept; else not_ok tap-kept "lkvm took away a tap that was there before"; fi
tunctl -d tap0 >/dev/null
