# SPDX-License-Identifier: MIT
# hosts: plic plic-5.10* plic-kernel-5.10 aia arm64 s390x
# limit: 150
# All devices busy at once on two harts, Debian's kernel: every interrupt arrives, and once.

random disk.img 8
random other.img 2
tunctl -t tap0 >/dev/null
ip link set tap0 address 02:00:00:00:77:01
ip addr add 10.77.0.1/24 dev tap0
ip link set tap0 up
ip neigh add 10.77.0.2 lladdr 02:00:00:00:77:02 dev tap0
guest 130 run -k "$IMAGE" -i "$INITRD" -c2 -m 256 -d disk.img -d other.img --rng --network mode=tap,tapif=tap0,guest_mac=02:00:00:00:77:02 \
	-p "loglevel=4 lkvmtest=stress"
exits exit 0
has vda "^guest: vda 1 $(sum disk.img)"
has vdb "^guest: vdb 150 writes"
has rng "^guest: hwrng ok"
has ping "^guest: ping 60 of 60"
same lines "$(grep -aoE 'line [0-9]+ of two hundred, which go through the console.s interrupt and must all come out' "$console" | sort -u | wc -l)" 200
has done "^guest: stress done"
tunctl -d tap0 >/dev/null
