# SPDX-License-Identifier: MIT
# hosts: plic-5.10* plic-6.12
# limit: 200
# The host takes its harts off and on line while guests run: vCPUs move, and what KVM keeps in a hart is made anew there.

base="--nodefaults --network mode=none --loglevel=warning -m 64"
[ -f /root/bare-memcheck ] || { skip guests "they are not beside this lkvm: give --lkvm one that stands in its build folder"; exit 0; }
harts=''
for f in /sys/devices/system/cpu/cpu*/online; do
	[ ! -w "$f" ] || harts="$harts $f"
done
[ -n "$harts" ] || { skip harts "this kernel takes no hart off line"; exit 0; }

# finished WHAT PID CONSOLE : that guest's result.
finished() {
	pid=$2 console=$3
	wait_exit 100
	said "$1"
	if [ "$status" = 0 ] && grep -aq '^DONE 0 failures' "$console"; then ok "$1"; else not_ok "$1" "exit status $status, last line '$(tail -n 1 "$console" | tr -d '\r')'"; fi
}

dd if=/dev/zero of=disk0 bs=64K count=1 2>/dev/null
dd if=/dev/zero of=disk1 bs=64K count=1 2>/dev/null
start run --name ticks -k "$QUICK" -i "$INITRD" -c2 -m 128 --network mode=none -p "loglevel=4 lkvmtest=ticks"
ticker=$pid ticked=$console
expect '^tick 5' 60
first=$(grep -ac '^tick' "$console")
# shellcheck disable=SC2086
start run $base -c4 -k /root/bare-memcheck -p "seconds=30"
checker=$pid checked=$console
# shellcheck disable=SC2086
start run $base -c2 -d disk0 -d disk1 --rng -k /root/bare-irqstress -p "requests=400"
stress=$pid stressed=$console
gone=0 refused=0
while kill -0 "$checker" 2>/dev/null; do
	for f in $harts; do
		if echo 0 >"$f"; then gone=$((gone + 1)); else refused=$((refused + 1)); fi
		usleep $((RANDOM * 4))
		[ "$(cat "$f")" = 1 ] || echo 1 >"$f" || not_ok back "${f%/online} does not come back"
		usleep $((RANDOM * 4))
	done
done 2>off-errors
if [ $gone -ge 10 ]; then ok gone; else not_ok gone "only $gone times a hart went off line, $refused times it was refused: $(tail -n 1 off-errors)"; fi
finished memory "$checker" "$checked"
finished interrupts "$stress" "$stressed"
more=$(grep -ac '^tick' "$ticked")
sleep 3
if [ "$(grep -ac '^tick' "$ticked")" -gt "$more" ] && [ "$more" -gt $((first + 10)) ]; then ok ticks; else not_ok ticks "$first, $more, $(grep -ac '^tick' "$ticked") ticks"; fi
command_of 10 stop --name ticks
same stop "$status" 0
pid=$ticker
wait_exit 20
# What was made while a hart was away runs where that hart is back.
for f in $harts; do echo 0 >"$f"; break; done 2>/dev/null
# shellcheck disable=SC2086
start run $base -c4 -k /root/bare-memcheck -p "seconds=5"
expect '^READY' 60
for f in $harts; do [ "$(cat "$f")" = 1 ] || echo 1 >"$f"; done
finished away "$pid" "$console"
same online "$(cat /sys/devices/system/cpu/online)" "$(cat /sys/devices/system/cpu/present)"
