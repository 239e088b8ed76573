# SPDX-License-Identifier: MIT
# hosts: arm64
# limit: 320
# Options of arm64 guests, as the guest sees them; and what a host refuses.

guest 80 run -k "$IMAGE" -i "$INITRD" -c2 -m 256M@3G --pmu --sve-max-vl 256 -p "loglevel=4 lkvmtest=arm64"
exits all-exit 0
has all-sve "^guest: features .* sve "
has all-ptrauth "^guest: features .* paca pacg "
has all-pmu "^guest: pmu 1"
has all-stolen "^guest: stolen 1"
has all-its "^guest: its [1-9]"
has all-level "^guest: level EL1"
has all-ram "^guest: ram c0000000"

guest 80 run -k "$IMAGE" -i "$INITRD" -c3 -m 256 --irqchip gicv3 --disable-sve --disable-ptrauth --disable-mte --no-pvtime \
	--cpu-id ID_AA64ISAR0_EL1=0 -p "loglevel=4 lkvmtest=arm64"
exits none-exit 0
hasnt none-sve "^guest: features .* sve"
hasnt none-ptrauth "^guest: features .* pac[ag]"
hasnt none-isar0 "^guest: features .* (aes|sha2|atomics)"
has none-fp "^guest: features .*fp"
has none-pmu "^guest: pmu 0"
has none-stolen "^guest: stolen 0"
has none-its "^guest: its 0"

# The guest sleeps with all but one CPU off until it is resumed.
start run -k "$IMAGE" -i "$INITRD" -c2 -m 256 --name sleeper -p "loglevel=4 lkvmtest=suspend"
tries=0
until "$LKVM" list 2>/dev/null | grep -q "sleeper.*suspended" || [ "$tries" -ge 400 ]; do
	usleep 200000
	tries=$((tries + 1))
done
check suspended "the guest did not suspend itself" [ "$tries" -lt 400 ]
check resume "it cannot be resumed" "$LKVM" resume --name sleeper
wait_exit 60
exits sleeper-exit 0
has awake "^guest: awake, cpus 2"

# A refusal names the option.
while read -r word options; do
	# shellcheck disable=SC2086
	guest 10 run -k "$IMAGE" $options
	if [ "$status" != 0 ] && grep -qe "$word" "$errors"; then
		ok "refused$word"
	else
		not_ok "refused$word" "exit status $status: $(tail -n 1 "$errors")"
	fi
done <<'E'
--nested --nested
--irqchip --irqchip gicv2
--cpu-id --cpu-id MIDR_EL1=0x410fd034
--sve-max-vl --sve-max-vl 300
--smccc-deny --smccc-deny 0x80000000
-m -m 256M@1G
--vcpu-affinity --vcpu-affinity 7
E
