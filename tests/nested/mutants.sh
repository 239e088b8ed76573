# SPDX-License-Identifier: MIT
# hosts: plic
# limit: 400
# A test of the tests, in `tests/nested/run --full` only: each /root/mutants/NAME is lkvm with a mistake in its interrupts, and
# tests/guest/riscv/irqstress or plic must find it.

dd if=/dev/zero of=disk0 bs=64K count=1 2>/dev/null
dd if=/dev/zero of=disk1 bs=64K count=1 2>/dev/null
real=$LKVM
base="--nodefaults --network mode=none --loglevel=warning --irqchip plic -c2 -m 64 -d disk0 -d disk1 --rng"

# found : the last guest said what is wrong, or came to no end.
found() { [ "$status" = hung ] || grep -aq '^FAIL ' "$console"; }

for LKVM in "$real" /root/mutants/*; do
	name=${LKVM##*/}
	# shellcheck disable=SC2086
	guest 40 run $base -k /root/bare-irqstress -p "requests=60"
	if ! found; then
		# shellcheck disable=SC2086
		guest 20 run $base -k /root/bare-plic
	fi
	if [ "$LKVM" = "$real" ]; then
		if found; then not_ok none "without a mistake: $(grep -a '^FAIL' "$console" | head -n 1)"; else ok none; fi
	elif found; then
		echo "$name: $status $(grep -a '^FAIL' "$console" | head -n 1)"
		ok "$name"
	else
		not_ok "$name" "nobody noticed"
	fi
done
