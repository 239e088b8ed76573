# SPDX-License-Identifier: MIT
# hosts: plic plic-5.10 arm64 s390x
# limit: 110
# lkvm test: guests that pass, fail, end in every other way, or do not end.

# tested STATUS ARGUMENT... : one result for the exit status; what it says is $output.
tested() {
	local what=$1 should=$2
	shift 2
	command_of 60 test -m 64 "$@"
	same "$what-status" "$status" "$should"
}

[ -f /root/bare-exits ] || { skip guests "they are not beside this lkvm: give --lkvm one that stands in its build folder"; exit 0; }
cp /root/bare-exits exits
# A jump to itself, where it is loaded; ways to end that exits knows: a reset, pvpanic, something that cannot go on.
case $ARCH in
riscv64) jump='\157\000\000\000' where='pc +(0x)?0*80200000' alone=hsm first=spec-version panic=9 error=10 ;;
arm64) jump='\000\000\000\024' where='pc +(0x)?0*80080000' alone=cpu-on first=psci-version panic=5 error='' ;;
# A PSW, and the jump behind it. Nothing there says that it has crashed; one whose last CPU waits for good cannot go on.
s390x) jump='\000\010\000\001\200\000\000\010\247\364\000\000' where='PSW 0*180000000 0*8,' alone=sigp first=sigp-missing panic='' error=5 ;;
esac

tested pass 0 --junit good.xml exits
has pass '^PASS  exits  [0-9]+ passed, [0-9]+ skipped \(' "$output"
has pass-skips "^        skipped: $alone: one " "$output"
has pass-summary '^1 of 1 tests passed; of [0-9]+ results [0-9]+ passed' "$output"
has junit 'testsuite name="exits" tests="[0-9]+" failures="0" errors="0"' good.xml
has junit-case "classname=\"exits\" name=\"$first\"" good.xml

tested tap 0 --tap exits
has tap "^ok 1 - exits: $first$" "$output"
has tap-plan '^1\.\.[0-9]+$' "$output"
same tap-points "$(grep -c '^ok' "$output")" "$(sed -n 's/^1\.\.//p' "$output")"

# Ends: goes on and says FAIL; no result; reset; pvpanic; no code.
tested fail 1 -p end=99 exits
has fail '^FAIL  exits  1 failed \(' "$output"
has fail-why '^        failed:  end: 99 goes on' "$output"
tested silent 1 -p end=1 exits
has silent '^FAIL .* ended without a result' "$output"
tested reset 1 -p end=2 exits
has reset '^FAIL .* asked for a reset' "$output"
if [ -n "$panic" ]; then
	tested panic 1 -p end=$panic exits
	has panic '^FAIL .* says that it has crashed' "$output"
fi
# There is no code where it jumps to: Linux 5.10's KVM, of arch/riscv/kernel, lets the guest take the fault.
said='^FAIL .* (vCPU 0 cannot run|disabled wait on vCPU 0)'
[[ $FLAVOUR != plic-5.10* ]] || said='failed: +trap: .* cause 1 '
if [ -n "$error" ]; then
	tested error 1 -p end=$error exits
	has error "$said" "$output"
fi

# One that hangs, beside one that passes, both at once.
# shellcheck disable=SC2059
printf "$jump" >hang
tested hang 1 --timeout $((10 * PATIENCE)) -j2 hang exits
has hang "^FAIL  hang +out of time after $((10 * PATIENCE)) s" "$output"
has hang-where "$where" "$output"
has hang-other '^PASS  exits ' "$output"
has hang-summary '^1 of 2 tests passed, 1 failed' "$output"
has hang-named '^failed: hang' "$output"

# Ended by a signal: guests go, what there was is said.
"$LKVM" test -m 64 hang exits >interrupted 2>&1 </dev/null &
pid=$!
n=0
until grep -qs vcpu /proc/[0-9]*/task/*/comm || [ $n -ge $((300 * PATIENCE)) ]; do
	usleep 100000
	n=$((n + 1))
done
kill -TERM $pid
wait $pid
same interrupted-status $? 143
has interrupted '^FAIL  hang .*interrupted' interrupted
has interrupted-rest '^0 of 2 tests passed, 1 failed, 1 not run' interrupted
n=0
while [ -n "$(pidof lkvm)" ] && [ $n -lt $((100 * PATIENCE)) ]; do
	usleep 100000
	n=$((n + 1))
done
same interrupted-gone "$(pidof lkvm)" ''
