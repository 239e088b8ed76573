# SPDX-License-Identifier: MIT
# hosts: plic plic-5.10* plic-kernel-5.10 arm64 s390x
# limit: 200
# Two guests at once, each with two CPUs, a disk and a network: they send to each other while they write, and neither touches what is the other's.

echo 1 >/proc/sys/net/ipv4/ip_forward
for n in 1 2; do
	random disk$n.img 1
	tunctl -t tap$n >/dev/null
	ip addr add 10.7$n.0.1/24 dev tap$n
	ip link set tap$n up
done
same control "$([ "$(sum disk1.img)" != "$(sum disk2.img)" ] && echo other)" other
# one N OTHER
one() {
	eval "before$1=$(sum "disk$1.img")"
	start run --name "two-$1" -k "$IMAGE" -i "$INITRD" -c2 -m 192 -d "disk$1.img" --network "mode=tap,tapif=tap$1" \
		-p "loglevel=4 lkvmtest=peers net=7$1 other=7$2 mib=$MIB"
	eval "pid$1=$pid console$1=$console errors$1=$errors"
}
one 1 2
one 2 1
expect '^lkvm guest is up' 100
command_of 15 list
same both "$(grep -c 'two-[12]' "$output")" 2
for n in 1 2; do
	eval "pid=\$pid$n console=\$console$n errors=\$errors$n before=\$before$n"
	wait_exit 150
	exits "exit-$n" 0
	has "disk-before-$n" "^guest: disk before $before"
	has "wrote-$n" "^guest: wrote 64"
	has "disk-after-$n" "^guest: disk after $(sum disk$n.img)"
	eval "sent$n=\$(sed -n 's/^guest: sent \\([0-9a-f]*\\).*/\\1/p' \"\$console\" | tr -d '\\r')"
done
# shellcheck disable=SC2154
console=$console1 has got-1 "^guest: got $((MIB << 20)) $sent2"
# shellcheck disable=SC2154
console=$console2 has got-2 "^guest: got $((MIB << 20)) $sent1"
for n in 1 2; do tunctl -d tap$n >/dev/null; done
