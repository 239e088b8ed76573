# SPDX-License-Identifier: MIT
# hosts: plic plic-5.10 aia arm64 s390x
# limit: 150
# The example program that embeds the library boots two VMs in one process.

if [ ! -x /root/embed ]; then
	skip embed "the example was not built for this architecture"
else
	timeout $((80 * PATIENCE)) /root/embed "$QUICK" "$INITRD" >"$LOGS/$TEST.console" 2>&1 </dev/null
	status=$? console=$LOGS/$TEST.console errors=$LOGS/$TEST.console
	exits exit 0
	same both "$(grep -ac 'lkvm guest is up' "$console")" 2
fi
