# SPDX-License-Identifier: MIT
# hosts: plic-5.10* plic-6.12 plic
# limit: 120
# KVM's module goes when nobody uses it, and not before, and comes again.

loaded() { grep -q '^kvm ' /proc/modules; }
grep -q '^kvm ' /proc/modules || { skip module "KVM is no module here"; exit 0; }
run="--nodefaults --network mode=none --loglevel=warning -m 64 -c2"
[ -f /root/bare-memcheck ] || { skip guests "they are not beside this lkvm: give --lkvm one that stands in its build folder"; exit 0; }

start run --name user -k "$QUICK" -i "$INITRD" -c1 -m 128 --network mode=none -p "loglevel=4 lkvmtest=ticks"
expect '^tick 3' 60
rmmod kvm 2>rmmod-errors
if loaded; then ok in-use; else not_ok in-use "the module went while a guest ran"; fi
before=$(grep -ac '^tick' "$console")
if expect "^tick $((before + 1))" 20; then ok still-ticks; else not_ok still-ticks "the guest stands still"; fi
kill -9 "$pid"
wait_exit 10

n=0
while [ $n -lt 5 ]; do
	n=$((n + 1))
	rmmod kvm 2>rmmod-errors
	! loaded || { not_ok gone "round $n: $(cat rmmod-errors)"; break; }
	[ ! -e /dev/kvm ] || { not_ok gone "round $n: /dev/kvm stays"; break; }
	if grep -q '^kvm' /proc/slabinfo; then not_ok gone "round $n: caches stay: $(grep -o '^kvm[a-z_]*' /proc/slabinfo | tr '\n' ' ')"; break; fi
	# shellcheck disable=SC2086
	guest 20 run $run -k /root/bare-memcheck -p seconds=1
	[ "$status" = 1 ] || { not_ok without "round $n: status $status without KVM"; break; }
	modprobe kvm || { not_ok again "round $n: it does not come again"; break; }
	# shellcheck disable=SC2086
	guest 60 run $run -k /root/bare-memcheck -p seconds=1
	[ "$status" = 0 ] || { not_ok runs "round $n: status $status"; break; }
done
[ $n != 5 ] || [ "$status" != 0 ] || ok five-times
loaded || modprobe kvm
