# SPDX-License-Identifier: MIT
# hosts: plic plic-5.10 plic-5.10-debug plic-kernel plic-kernel-5.10 plic-kernel-debug aia arm64 s390x
# limit: 150
# Input from a pipe reaches the guest, on both consoles; standard streams may be anything.

# What a RISC-V guest's kernel prints through its firmware would come out at the same place.
firmware=''
[ "$ARCH" != riscv64 ] || firmware='--disable-sbi-dbcn --disable-sbi-legacy'
for kind in serial virtio; do
	# The virtio console must do without.
	alone=''
	[ $kind = serial ] || alone=$firmware
	# shellcheck disable=SC2086
	start_fed run $alone -k "$QUICK" -i "$INITRD" -c1 -m 128 --console $kind -p "loglevel=4 lkvmtest=echo"
	if expect "^guest: type" 40; then ok "$kind-up"; else not_ok "$kind-up" "the guest did not come up"; fi
	send "hello $kind"
	if expect "^guest: got \[hello $kind\]" 10; then ok "$kind-line"; else not_ok "$kind-line" "the line did not come back"; fi
	long=$(printf 'abcdefghijklmnopqrstuvwxyz%.0s' 1 2 3 4 5 6)
	send "$long"
	if expect "^guest: got \[$long\]" 10; then ok "$kind-long"; else not_ok "$kind-long" "156 characters did not come back whole"; fi
	send end
	unfeed
	wait_exit 20
	exits "$kind-exit" 0
done

# And what such a guest prints can come from nowhere else: without a console of either kind that it drives, it is silent.
# On s390x it drives the SCLP, which every machine has.
if [ "$ARCH" != s390x ]; then
	# shellcheck disable=SC2086
	guest 40 run $firmware -k "$QUICK" -i "$INITRD" -c1 -m 128 --console virtio --nodefaults -p "console=ttyS0 lkvmtest=poweroff"
	exits silent-exit 0
	hasnt silent "."
fi

# All at once and then end of file; the guest reads it when it is ready and is not ended by it.
console=$LOGS/$TEST.eof errors=$LOGS/$TEST.eof-errors
# (What comes by the SCLP before Linux has opened the terminal, Linux throws away.)
reads=echo,
[ "$ARCH" != s390x ] || reads=''
printf 'early\nend\n' | timeout $((50 * PATIENCE)) "$LKVM" run -k "$QUICK" -i "$INITRD" -c1 -m 128 -p "loglevel=4 lkvmtest=${reads}info" 2>"$errors" | cat >"$console"
[ -z "$reads" ] || has eof-read "^guest: got \[early\]"
has eof-alive "^guest: cpus 1"

timeout $((50 * PATIENCE)) "$LKVM" run -k "$QUICK" -i "$INITRD" -c1 -m 128 -p "lkvmtest=poweroff" </dev/null >/dev/null 2>"$errors"
status=$?
exits null 0
timeout $((50 * PATIENCE)) "$LKVM" run -k "$QUICK" -i "$INITRD" -c1 -m 128 -p "lkvmtest=poweroff" <&- >/dev/null 2>"$errors"
status=$?
exits closed-stdin 0
