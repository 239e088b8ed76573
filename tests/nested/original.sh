# SPDX-License-Identifier: MIT
# hosts: plic plic-5.10 arm64
# limit: 150
# The two commands of the original RISC-V port, word for word (on arm64 with the serial port that is there).

mkdir apps
ln -s "${SMALL:-$IMAGE}" apps/Image
ln -s "$INITRD" apps/rootfs.img
export HOME=$PWD

start run -m 128 -c2 --console serial -p "console=ttyS0 earlycon=uart8250,mmio,$SERIAL" -k ./apps/Image -i ./apps/rootfs.img --debug </dev/null
if expect "lkvm guest is up" 60; then ok initrd-up; else not_ok initrd-up "the guest did not come up: $(tail -n 1 "$errors")"; fi
has earlycon "bootconsole \[uart8250|earlycon: uart8250 at MMIO 0x0*${SERIAL#0x}"
has initrd-cpus "2 CPUs"
kill "$pid"
wait_exit 10

"$LKVM" setup default >"$LOGS/$TEST.setup" 2>&1
start_fed run -m 128 -c2 --console serial -p "console=ttyS0 earlycon=uart8250,mmio,$SERIAL" -k ./apps/Image --debug
if [ -n "$SMALL" ]; then
	if expect "Mounted root \(9p filesystem\)|VFS: Mounted root" 50; then ok root; else not_ok root "no 9p root"; fi
	if expect "Run .* as init process" 20; then ok init; else not_ok init "no init was run"; fi
	usleep 500000
	hasnt init-found "No working init found|Kernel panic"
else
	if expect "command line:.*rootfstype=9p" 50; then ok root; else not_ok root "no 9p root on the command line"; fi
fi
kill "$pid"
unfeed
wait_exit 10
if [ "$status" != hung ]; then ok ends; else not_ok ends "SIGTERM did not end it"; fi
