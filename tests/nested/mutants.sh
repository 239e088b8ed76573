# SPDX-License-Identifier: MIT
# hosts: plic s390x
# limit: 900
# A test of the tests, in `tests/nested/run --full` only: each /root/mutants/NAME is lkvm with a mistake, and a bare guest must find it. On RISC-V in its interrupts,
# for tests/guest/riscv/irqstress and plic; on s390x in its channel subsystem, for tests/guest/s390x.

dd if=/dev/zero of=disk0 bs=64K count=1 2>/dev/null
dd if=/dev/zero of=disk1 bs=64K count=1 2>/dev/null
real=$LKVM
base="--nodefaults --network mode=none --loglevel=warning -c2 -m 64 -d disk0 --rng"
case $ARCH in
riscv64) base="$base -d disk1 --irqchip plic" limit=40 bare="irqstress plic" ;;
s390x)
	base="$base --balloon" limit=30
	bare="css-sense css-instructions css-ccw css-orb css-data css-functions css-reports css-measure css-hostile vccw-commands vccw-storm"
	;;
esac

# found : the last guest said what is wrong, or came to no end.
found() { [ "$status" = hung ] || grep -saq '^FAIL ' "$console"; }

for LKVM in "$real" /root/mutants/*; do
	name=${LKVM##*/}
	# What only unit tests can find.
	case $name in
	report-lost) skip "$name" "no device goes away while a bare guest runs"; continue ;;
	hold-ignored) skip "$name" "nobody pauses a bare guest here"; continue ;;
	turn-without-time) skip "$name" "no command is slow enough for a bare guest"; continue ;;
	esac
	for try in $bare; do
		# shellcheck disable=SC2086
		guest $limit run $base -k "/root/bare-$try" -p "requests=60"
		! found || break
		rm -f "$console" "$errors"
	done
	if [ "$LKVM" = "$real" ]; then
		if found; then not_ok none "without a mistake: $(grep -a '^FAIL' "$console" | head -n 1)"; else ok none; fi
	elif found; then
		echo "$name: $try $status $(grep -a '^FAIL' "$console" | head -n 1)"
		ok "$name"
	else
		not_ok "$name" "nobody noticed"
	fi
done
