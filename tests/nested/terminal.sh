# SPDX-License-Identifier: MIT
# hosts: plic plic-5.10 arm64 s390x
# limit: 90
# On a terminal: raw while the guest runs, as before afterwards; Ctrl-A x leaves.

# onpty gives a terminal; what is piped into it is typed.
cat >on-tty <<-EOF
stty -a >before
$LKVM run -k $QUICK -i $INITRD -c1 -m 128 -p "loglevel=4"
echo \$? >status
stty -a >after
: >over
EOF
mkfifo keys
exec 7<>keys
console=$LOGS/$TEST.console
onpty sh "$PWD/on-tty" <keys >"$console" 2>&1 &
pid=$!
if expect "lkvm guest is up" 50; then ok up; else not_ok up "the guest did not come up"; fi
send 'echo sum $((40 + 2))'
if expect "sum 42" 10; then ok input; else not_ok input "no answer from the guest's shell"; fi
printf '\001x' >&7
n=0
while [ ! -e over ] && [ $n -lt $((200 * PATIENCE)) ]; do
	usleep 100000
	n=$((n + 1))
done
if [ -e over ]; then ok leave; else not_ok leave "Ctrl-A x did not end lkvm"; fi
same status "$(cat status 2>/dev/null)" 0
same restored "$(cat after 2>/dev/null)" "$(cat before)"
unfeed
kill "$pid" 2>/dev/null
