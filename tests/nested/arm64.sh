# SPDX-License-Identifier: MIT
# hosts: arm64 arm64-hvhe
# limit: 330
# Options of arm64 guests, as the guest sees them; and what a host refuses.

guest 80 run -k "$IMAGE" -i "$INITRD" -c2 -m 256M@3G --pmu --sve-max-vl 256 -p "loglevel=4 lkvmtest=arm64"
exits all-exit 0
has all-sve "^guest: features .* sve "
has all-ptrauth "^guest: features .* paca pacg "
has all-pmu "^guest: pmu 1"
command_of 15 doctor
if grep -q "yes *memory tagging" "$output"; then has all-mte "^guest: features .* mte "; else skip all-mte "this machine has no memory tags"; fi
has all-stolen "^guest: stolen 1"
has all-its "^guest: its [1-9]"
has all-level "^guest: level EL1"
has all-ram "^guest: ram c0000000"

guest 80 run -k "$IMAGE" -i "$INITRD" -c3 -m 256 --irqchip gicv3 --disable-sve --disable-ptrauth --disable-mte --no-pvtime \
	--cpu-id ID_AA64ISAR0_EL1=0 -p "loglevel=4 lkvmtest=arm64"
exits none-exit 0
hasnt none-sve "^guest: features .* sve"
hasnt none-ptrauth "^guest: features .* pac[ag]"
hasnt none-mte "^guest: features .* mte"
hasnt none-isar0 "^guest: features .* (aes|sha2|atomics)"
has none-fp "^guest: features .*fp"
has none-pmu "^guest: pmu 0"
has none-stolen "^guest: stolen 0"
has none-its "^guest: its 0"

# The guest sleeps with all but one CPU off until it is resumed.
start run -k "$IMAGE" -i "$INITRD" -c2 -m 256 --name sleeper -p "loglevel=4 lkvmtest=suspend"
tries=0
until "$LKVM" list 2>/dev/null | grep -q "sleeper.*suspended" || [ "$tries" -ge $((400 * PATIENCE)) ]; do
	usleep 200000
	tries=$((tries + 1))
done
check suspended "the guest did not suspend itself" [ "$tries" -lt $((400 * PATIENCE)) ]
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

# words FILE WORD... : a flat binary of these instructions.
words() {
	local file=$1 w
	shift
	for w in "$@"; do
		printf "\\$(printf %03o "0x${w#??????}")\\$(printf %03o "0x$(echo "$w" | cut -c5-6)")\\$(printf %03o "0x$(echo "$w" | cut -c3-4)")\\$(printf %03o "0x${w%??????}")"
	done >"$file"
}

# asked WHAT ANSWERS OPTION... : a guest that prints three letters. Does firmware know the function 0x84000050? N or Y; is the counter's highest bit set? O or o;
# of how many times 16 bytes are vectors, from '0' on.
#   mov x20, #0x1000000; mov w0, #0x84000000; add w0, w0, #0x50; hvc #0; mov w9, #'N'; mov w8, #'Y'; tst w0, #0x80000000; csel w9, w9, w8, ne; strb w9, [x20]
#   mrs x0, cntvct_el0; mov w9, #'O'; mov w8, #'o'; cmp x0, #0; csel w9, w9, w8, lt; strb w9, [x20]
#   mov x0, #0x330000; msr cpacr_el1, x0; mov x0, #0xf; msr zcr_el1, x0; isb; rdvl x9, #1; lsr x9, x9, #4; add w9, w9, #'0'; strb w9, [x20]
#   mov w0, #0x84000000; add w0, w0, #8; hvc #0
words asks d2a02014 52b08000 11014000 d4000002 528009c9 52800b28 7201001f 1a881129 39000289 d53be040 528009e9 52800de8 f100001f 1a88b129 39000289 \
	d2a00660 d5181040 d28001e0 d5181200 d5033fdf 04bf5029 d344fd29 1100c129 39000289 52b08000 11002000 d4000002
asked() {
	local what=$1 answers=$2
	shift 2
	guest 10 run asks --nodefaults "$@"
	exits "$what-exit" 0
	has "$what" "^$answers"
}
asked asked-nothing 'Yo[4-@]' -m 64
asked asked 'NO2' -m 64 --smccc-deny 0x84000050 --counter-offset 0x4000000000000000 --sve-max-vl 256
# RAM that needs more than 48 bits of address.
if grep -q '5[0-9] bits of guest physical address' "$output"; then
	asked asked-high 'Yo[4-@]' -m 64M@512T
else
	skip asked-high "this host has no such addresses"
fi

# Where the vCPU's thread may run.
start run -k "$QUICK" -i "$INITRD" -c1 -m 128 --vcpu-affinity 1 -p "loglevel=4 lkvmtest=sleep"
expect "lkvm guest is up" 40
same affinity "$(for t in /proc/"$pid"/task/*; do grep -q vcpu "$t/comm" && sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' "$t/status"; done)" 1
kill "$pid"
wait_exit 10

# A 32-bit guest: mov r0, #0x1000000; mov r1, #'A'; strb r1, [r0]; mov r0, #0x84000000; orr r0, r0, #8 (PSCI SYSTEM_OFF); hvc #0
words a32 e3a00401 e3a01041 e5c01000 e3a00484 e3800008 e1400070
guest 10 run a32 --aarch32 --nodefaults -m 64
exits aarch32-exit 0
has aarch32 '^A'

# A load pair where nobody is: KVM cannot say what it loads, and the guest gets an external abort, not an end. Vectors are 0x800 further on;
# the handler for aborts of EL1 prints '0' + ESR_EL1.EC: a U. A plain load there is read as zero.
#   mov x20, #0x1000000; adr x0, vectors; msr vbar_el1, x0; isb; mov x1, #0x4100000; ldr x2, [x1]; ldp x2, x3, [x1]; mov w9, #'X'
#   off: strb w9, [x20]; mov w0, #0x84000000; add w0, w0, #8; hvc #0
#   vectors + 0x200: mrs x4, esr_el1; lsr x5, x4, #26; and x5, x5, #0x3f; mov w9, #'0'; add w9, w9, w5; b off
words code d2a02014 10003fe0 d518c000 d5033fdf d2a08201 f9400022 a9400c22 52800b09 39000289 52b08000 11002000 d4000002
words handler d5385204 d35afc85 924014a5 52800609 0b050129 17fffd83
head -c 2560 /dev/zero >nisv
dd if=code of=nisv conv=notrunc 2>/dev/null
cat handler >>nisv
guest 10 run nisv --nodefaults -m 64 --loglevel info
exits nisv-exit 0
has nisv '^U'
has nisv-said 'vCPU 0: .* at 0x4100000: .* external abort' "$errors"
