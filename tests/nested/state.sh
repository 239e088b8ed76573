# SPDX-License-Identifier: MIT
# hosts: plic plic-5.10 plic-kernel aia* arm64
# limit: 300
# A running guest whose machine's state is taken away and given back (tests/state.c): no interrupt is lost or doubled, and the guest itself says so.

# state WHAT HOW GUEST NAME=VALUE... : sets $status; the guest's words are $console. GUEST is a kernel, or the name of a bare one.
state() {
	local what=$1 how=$2 guest=$3
	shift 3
	[ -f "$guest" ] || guest=/root/bare-$guest
	console=$LOGS/$TEST.$what.console errors=$LOGS/$TEST.$what.errors
	timeout -s KILL $((90 * PATIENCE)) /root/state "$how" "$guest" mem=64 network=mode=none loglevel=warning "$@" >"$console" 2>"$errors" </dev/null
	status=$?
}

# good WHAT TIMES ... : the guest came to its good end, so many times.
good() {
	local what=$1 times=$2
	shift 2
	state "$what" "$@"
	said "$what"
	exits "$what" 0
	same "$what-done" "$(grep -ac '^DONE 0 failures' "$console")" "$times"
}

if [ ! -x /root/state ] || [ -z "$(ls /root/bare-* 2>/dev/null)" ]; then
	skip state "it is not beside this lkvm: give --lkvm one that stands in its build folder"
	exit 0
fi
case $FLAVOUR in
aia) chips="aia plic" ;;
aia-kernel) chips="plic-kernel aia" ;;
plic-kernel) chips="plic-kernel plic" ;;
arm64) chips="gicv3-its" ;;
*) chips=plic ;;
esac
# The PLIC in user space is the host plic's, Linux is seen to move there, and the model on the host of the other PLIC; all of it with tools/check --full.
[ -n "$FULL" ] || chips=${chips%% *}
disks=''
for n in 0 1 2 3 4 5; do
	dd if=/dev/zero of=disk$n bs=64K count=1 2>/dev/null
	disks="$disks disk=disk$n"
done
loads="disk=disk0 disk=disk1 rng"

for chip in $chips; do
	# shellcheck disable=SC2086
	good "restart-$chip" 3 restart irqstress $loads irqchip=$chip cpus=2 params=requests=20
	[ "$ARCH" != arm64 ] || good restart-gic 3 restart gic rng irqchip=$chip cpus=2
	# shellcheck disable=SC2086
	good "pause-$chip" 1 pause irqstress $loads irqchip=$chip cpus=2 params=requests=150
	[ "$ARCH" = riscv64 ] || continue
	# shellcheck disable=SC2086
	good "irqchip-$chip" 1 irqchip irqstress $loads irqchip=$chip cpus=4 params=requests=60
	# shellcheck disable=SC2086
	good "move-$chip" 1 move irqstress $loads irqchip=$chip cpus=2 params=requests=200
	# The control: a guest whose interrupt controller is not given back says what it misses. It has far more to do than it comes to.
	# shellcheck disable=SC2086
	state "forget-$chip" forget irqstress $loads irqchip=$chip cpus=2 params=requests=1000
	same "forget-$chip" "$status" 1
	has "forget-$chip-said" '^FAIL .*lost'
	[ $chip != aia ] || continue
	words=steps=1000
	[ $chip = plic ] || words="$words edge"
	# shellcheck disable=SC2086
	good "model-$chip" 1 irqchip plicstress $disks irqchip=$chip cpus=3 "params=$words"
	[ -n "$FULL$(echo "$chip" | grep kernel)" ] || continue
	# shellcheck disable=SC2086
	good "model-move-$chip" 1 move plicstress $disks irqchip=$chip cpus=3 "params=$words"
done

# Linux moves, too, from its first instructions on.
[ "$ARCH" = riscv64 ] || exit 0
[ -n "$FULL" ] || [ "$FLAVOUR" = plic ] || exit 0
random disk.img 16
before=$(sum disk.img)
state linux move "$QUICK" initrd="$INITRD" disk=disk.img rng balloon irqchip=${chips%% *} cpus=2 mem=128 "params=console=ttyS0 loglevel=4 lkvmtest=disk,pattern"
exits linux 0
has linux-read "^guest: disk 16777216 bytes, before $before"
has linux-write "^guest: disk after $(sum disk.img)"
has linux-memory "^guest: pattern done"
hasnt linux-memory-kept "^guest: pattern [0-9]* has changed"
