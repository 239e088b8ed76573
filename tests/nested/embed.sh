# SPDX-License-Identifier: MIT
# hosts: plic plic-5.10 aia arm64 s390x
# limit: 150
# The example program that embeds the library boots two VMs in one process. Another one runs a guest three times in one VM.

if [ ! -x /root/embed ]; then
	skip embed "the example was not built for this architecture"
else
	timeout $((80 * PATIENCE)) /root/embed "$QUICK" "$INITRD" >"$LOGS/$TEST.console" 2>&1 </dev/null
	status=$? console=$LOGS/$TEST.console errors=$LOGS/$TEST.console
	exits exit 0
	same both "$(grep -ac 'lkvm guest is up' "$console")" 2
fi

[ "$ARCH" = arm64 ] || exit 0
if [ ! -x /root/restart ] || [ ! -f /root/bare-gic ]; then
	skip restart "it is not beside this lkvm: give --lkvm one that stands in its build folder"
else
	console=$LOGS/$TEST.restart.console errors=$LOGS/$TEST.restart.errors
	timeout $((60 * PATIENCE)) /root/restart /root/bare-gic mem=64 cpus=2 network=mode=none >"$console" 2>"$errors" </dev/null
	status=$?
	exits restart 0
	same restarted "$(grep -ac '^DONE 0 failures' "$console")" 3
	said restart
fi
