# SPDX-License-Identifier: MIT
# hosts: plic-5.10* plic-6.12
# limit: 240
# More virtual machines than VMIDs, in turns on the same harts: the numbers run out and are given anew, and no guest sees another's memory.

[ -f /root/bare-memcheck ] || { skip guests "they are not beside this lkvm: give --lkvm one that stands in its build folder"; exit 0; }
parameter=/sys/module/kvm/parameters/vmid_bits
[ -e $parameter ] || { skip rollover "this KVM uses as many VMIDs as the hart has, and cannot be told a smaller number"; exit 0; }
guests_at_once=7

# crowd WHAT : so many guests, each with numbers of its own at the same addresses.
crowd() {
	all='' n=0
	while [ $n -lt $guests_at_once ]; do
		n=$((n + 1))
		start run --nodefaults --network mode=none --loglevel=warning -m 32 -c2 -k /root/bare-memcheck -p "seconds=8 seed=$n mib=8"
		all="$all $pid:$console"
	done
	well=0
	for one in $all; do
		pid=${one%%:*} console=${one#*:}
		wait_exit 100
		said "$1"
		[ "$status" != 0 ] || ! grep -aq '^DONE 0 failures' "$console" || well=$((well + 1))
	done
	same "$1" $well $guests_at_once
}

for bits in 0 1 2 3; do
	rmmod kvm && modprobe kvm vmid_bits=$bits || { not_ok "bits-$bits" "the module does not come with vmid_bits=$bits"; continue; }
	same "parameter-$bits" "$(cat $parameter)" $bits
	crowd "bits-$bits"
done
rmmod kvm
modprobe kvm
crowd all-bits
