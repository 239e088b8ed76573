# SPDX-License-Identifier: MIT
# Sourced by each test inside the emulated host (busybox sh). A test is a script NAME.sh whose head says
#   # hosts: plic aia arm64*   the flavours of host it runs on (the table in tests/nested/run)
#   # limit: 60                seconds it may take on one of them
# All seconds said in tests are for a machine with nothing else to do; $PATIENCE multiplies them.
# It runs in an empty folder of its own on tmpfs and says any number of results:
#   ok WHAT | not_ok WHAT REASON | skip WHAT REASON     WHAT is a word of [a-z0-9-]
# Known: $LKVM, $IMAGE and $INITRD (Debian's kernel and the guest image), $SMALL (a small kernel with every driver built
# in, or empty), $DEBIAN (Debian's kernel, where $IMAGE is a quicker one: on s390x), $ARCH and $FLAVOUR, $FULL (not empty: take your time), $SERIAL (the address of the guest's first serial port), $LOGS (a folder that comes back), /root (what --add brought).

ok() { echo "ok $TEST/$1" >>"$RESULTS"; }
skip() { echo "skip $TEST/$1 # $2" >>"$RESULTS"; }

not_ok() {
	echo "not ok $TEST/$1 # $2" >>"$RESULTS"
	failed=$((failed + 1))
}

# check WHAT REASON COMMAND... : ok when COMMAND succeeds.
check() {
	local what=$1 reason=$2
	shift 2
	if "$@" >/dev/null 2>&1; then ok "$what"; else not_ok "$what" "$reason"; fi
}

# same WHAT IS SHOULD : two strings.
same() {
	if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "is '$2', should be '$3'"; fi
}

# has WHAT PATTERN [FILE] : a line of the console (or FILE) matches the extended regular expression.
has() {
	if grep -aqE "$2" "${3:-$console}"; then ok "$1"; else not_ok "$1" "no line like '$2' in ${3:-$console}"; fi
}

hasnt() {
	if grep -aqE "$2" "${3:-$console}"; then
		not_ok "$1" "'$(grep -aE "$2" "${3:-$console}" | head -n 1 | tr -d '\r')' in ${3:-$console}"
	else
		ok "$1"
	fi
}

# said WHAT : a result for each FAIL and SKIP line that a bare guest or a program of tests/kvm left in $console.
said() {
	local line
	while IFS= read -r line; do
		case $line in
		FAIL*) not_ok "$1" "$line" ;;
		SKIP*)
			line=${line#SKIP }
			skip "$1-${line%%:*}" "${line#*: }"
			;;
		esac
	done <<-LINES
		$(tr -d '\r' <"$console" | grep -aE '^(FAIL|SKIP) ')
	LINES
}

# exits WHAT STATUS : the last guest's exit status.
exits() {
	if [ "$status" = "$2" ]; then
		ok "$1"
	else
		not_ok "$1" "exit status $status, should be $2: $(tail -n 2 "$errors" | tr -d '\r' | tr '\n' ' ')"
	fi
}

guests=0 QUICK=${SMALL:-$IMAGE}
failed=0
fed=''
# MiB that network tests transfer in each direction: a sum of one takes Hercules seconds.
MIB=4
[ "$ARCH" != s390x ] || MIB=1
# The interrupt controller that guests have on a RISC-V host unless a test asks for another one, and for no other if it fails; what `--irqchip auto` would take, boot.sh
# tells. plic-5.10's kernel has a PLIC: plic-kernel-5.10 is that host with it, and KASAN shall see it.
case $FLAVOUR in
aia) chip=aia ;;
aia-kernel | plic-kernel* | plic-5.10-kasan) chip=plic-kernel ;;
plic* | rv64) chip=plic ;;
*) chip='' ;;
esac
# What guests are told. KVM of Debian's 6.12 in protected mode offers pointer authentication and makes it UNDEFINED; tests/kvm/arm64/ptrauth.c tests that, and
# arch/arm64/kernel has the cure.
told=${chip:+--irqchip $chip}
# Its host complains when that is tried all the same: $admitted is what its kernel may say.
admitted='^$'
case $FLAVOUR-$(uname -r) in
arm64-protected-6.12*+deb*) told=--disable-ptrauth admitted='WARNING: .* kvm_handle_ptrauth' ;;
esac

# start ARGUMENT... : `lkvm ARGUMENT...` in the background. Its output is $console, its errors are $errors.
start() {
	guests=$((guests + 1))
	console=$LOGS/$TEST.$guests.console
	errors=$LOGS/$TEST.$guests.errors
	: >"$console"
	if [ "$1" = run ] && [ -n "$told" ]; then
		shift
		# shellcheck disable=SC2086
		set -- run $told "$@"
	fi
	if [ -n "$fed" ]; then
		"$LKVM" "$@" <"$fed" >"$console" 2>"$errors" &
	else
		"$LKVM" "$@" </dev/null >"$console" 2>"$errors" &
	fi
	pid=$!
}

# start_fed ARGUMENT... : the same, with its standard input open for `send`; `unfeed` closes it.
start_fed() {
	fed=$PWD/input.$guests
	mkfifo "$fed"
	# Opened for both, or the opening would wait for the reader.
	exec 7<>"$fed"
	start "$@"
	fed=''
}

send() { printf '%s\n' "$1" >&7; }
unfeed() { exec 7>&-; }

# expect PATTERN SECONDS [FILE] : wait until a line of the console (or FILE) matches.
expect() {
	local end=$(($(date +%s) + $2 * PATIENCE))
	until grep -aqE "$1" "${3:-$console}"; do
		if ! kill -0 "$pid" 2>/dev/null; then
			grep -aqE "$1" "${3:-$console}"
			return
		fi
		if [ "$(date +%s)" -ge "$end" ]; then
			# Once more: whoever came too late to look gave the guest no time either.
			grep -aqE "$1" "${3:-$console}"
			return
		fi
		usleep 100000
	done
}

# wait_exit SECONDS : wait for the last started guest; sets $status, "hung" when it had to be killed.
wait_exit() {
	local end=$(($(date +%s) + $1 * PATIENCE))
	while kill -0 "$pid" 2>/dev/null; do
		if [ "$(date +%s)" -ge "$end" ]; then
			kill -9 "$pid"
			wait "$pid" 2>/dev/null
			status=hung
			return 1
		fi
		usleep 100000
	done
	wait "$pid"
	status=$?
}

# guest SECONDS ARGUMENT... : run `lkvm ARGUMENT...` to its end; sets $status.
guest() {
	local limit=$1
	shift
	start "$@"
	wait_exit "$limit"
}

# command_of SECONDS ARGUMENT... : a command that shows something; sets $status; output in $output, errors in $errors.
command_of() {
	local limit=$1
	shift
	output=$LOGS/$TEST.command
	errors=$LOGS/$TEST.command-errors
	timeout -s KILL $((limit * PATIENCE)) "$LKVM" "$@" </dev/null >"$output" 2>"$errors"
	status=$?
}

# counts : how often vCPUs of the guest that `measure` started have left KVM for lkvm, and how often lkvm's event loop has slept.
counts() {
	local task
	"$LKVM" stat --name measured | awk '$1 == "vCPU" { n += $4 } END { print n + 0 }'
	for task in "/proc/$pid"/task/*; do
		[ "$(cat "$task/comm")" != lkvm-loop ] || sed -n 's/^voluntary_ctxt_switches:[^0-9]*//p' "$task/status"
	done
}

# measure WHAT WORK ARGUMENT... : a guest that does WORK of tests/nested/guest, which says `interrupts` before and after. Sets $taken, $exits, $slept: the interruptions by
# its virtio devices meanwhile, and what `counts` says. Its console is not the serial port, where each character is an exit.
measure() {
	local what=$1 work=$2 before
	shift 2
	start_fed run --name measured -k "$QUICK" -i "$INITRD" -c1 -m 256 --console virtio -p "loglevel=4 lkvmtest=echo,$work,echo" "$@"
	if expect "^guest: type" 60; then ok "$what-up"; else not_ok "$what-up" "no guest: $(tail -n 1 "$errors")"; fi
	before=$(counts)
	send end
	if expect "^guest: $work done" 60; then ok "$what-done"; else not_ok "$what-done" "it is not done in time"; fi
	# shellcheck disable=SC2046,SC2086
	set -- $before $(counts)
	exits=$(($3 - $1)) slept=$(($4 - $2))
	send end
	unfeed
	wait_exit 20
	exits "$what-exit" 0
	has "$what" "^guest: $work ok"
	taken=$(tr -d '\r' <"$console" | awk '$1 $2 == "guest:interrupts" { if (!n++) first = $3; last = $3 } END { print last - first }')
	measured="$taken interruptions, $exits exits to user space, lkvm's loop slept $slept times"
	echo "$what: $measured"
}

# kernel_mark WHAT : in the log of the host's kernel: from here on.
kernel_mark() { echo "lkvm: $1 begins" >/dev/kmsg; }

# kernel_said WHAT PATTERN : the first line like PATTERN, and not like $admitted, that the host's kernel wrote since that mark (or that is left, when the mark is not).
kernel_said() {
	dmesg >/tmp/kernel-said
	tail -n +$(($(grep -nF "lkvm: $1 begins" /tmp/kernel-said | tail -n 1 | cut -d: -f1) + 1)) /tmp/kernel-said | grep -vE "$admitted" | grep -m 1 -E "$2"
}

# What a kernel should never say; and what it says when the emulator was not given a processor for long, as well as when it hangs.
COMPLAINTS='WARNING: |BUG: [^s]|BUG: s[^o]|Oops|KASAN|UBSAN|KCSAN|INFO: (possible|inconsistent|trying to register)|possible (recursive|circular|irq)|inconsistent lock state|suspicious RCU|held lock freed|bad unlock balance|refcount_t:|[Uu]nable to handle|Bad page|unreferenced object|new suspected memory leaks|Kernel panic'
STALLS='soft lockup|detected stall|self-detected stall|blocked for more than|starved for'

# random FILE MIB : a file of random bytes.
random() { dd if=/dev/urandom of="$1" bs=1M count="$2" 2>/dev/null; }
# The quickest sum that busybox has and that is long: it tells what differs by a defect, and nobody is out to deceive it.
sum() { md5sum "$@" | cut -d' ' -f1; }
