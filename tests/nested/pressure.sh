# SPDX-License-Identifier: MIT
# hosts: plic-5.10* plic-6.12
# limit: 400
# A guest's memory stays what the guest put there, whatever the host does with it: swapping, aging, want of memory, huge pages made and split, equal pages merged, pages
# set aside, the balloon. tests/guest/common/memcheck.c is that guest; each test says how it knows that the host did so.

vm() { sed -n "s/^$1 //p" /proc/vmstat; }

# begin ARGUMENTS LKVM-ARGUMENT... : a guest that checks its memory.
begin() {
	arguments=$1
	shift
	start run --nodefaults --network mode=none --loglevel=warning -m 64 -c2 -k /root/bare-memcheck -p "seconds=15 $arguments" "$@"
	expect '^READY' 60
}

alive() { kill -0 "$pid" 2>/dev/null; }

# finish WHAT : that guest's result.
finish() {
	wait_exit 90
	said "$1"
	if [ "$status" = 0 ] && grep -aq '^DONE 0 failures' "$console"; then
		ok "$1"
	elif ! grep -aq '^FAIL' "$console"; then
		not_ok "$1" "exit status $status, last line '$(tail -n 1 "$console" | tr -d '\r')': $(tail -n 1 "$errors")"
	fi
}

# more WHAT IS THAN
more() { if [ "$2" -gt "$3" ]; then ok "$1"; else not_ok "$1" "$2, should be more than $3"; fi; }

[ -f /root/bare-memcheck ] || { skip guests "they are not beside this lkvm: give --lkvm one that stands in its build folder"; exit 0; }
mount -t debugfs none /sys/kernel/debug 2>/dev/null
ksm=/sys/kernel/mm/ksm thp=/sys/kernel/mm/transparent_hugepage

begin ''
pressure poke "$pid" $((40 << 20))
wait_exit 90
same control "$status" 4
has control-said '^FAIL memory: 0x[0-9a-f]+ is 0x5a5a5a5a'

modprobe zram 2>/dev/null
if [ -b /dev/zram0 ]; then
	echo 256M >/sys/block/zram0/disksize
	mkswap /dev/zram0 >/dev/null
	swapon /dev/zram0

	before=$(vm pswpin)
	begin ''
	while alive; do
		pressure out "$pid" 2>/dev/null
		usleep 200000
	done
	finish swap
	more swap-was $(($(vm pswpin) - before)) 16384

	before=$(vm pgdeactivate) back=$(vm pswpin)
	begin ''
	# Of the memory that the guest uses, what is taken for unused is what is swapped out last.
	mkdir hog
	mount -t tmpfs -o size=100% none hog
	want=$(awk '/^MemAvailable/ { print int($2 / 1024) + 24 }' /proc/meminfo)
	dd if=/dev/zero of=hog/zeros bs=1M count="$want" 2>/dev/null
	while alive; do
		pressure cold "$pid" 2>/dev/null
		dd if=/dev/zero of=hog/zeros bs=1M count=32 conv=notrunc 2>/dev/null
		usleep 200000
	done
	finish want
	more want-aged $(($(vm pgdeactivate) - before)) 1000
	umount hog
	more want-swapped $(($(vm pswpout) - back)) 1000
	swapoff /dev/zram0
else
	skip swap "this kernel has no zram"
fi

if [ -d $thp ]; then
	echo always >$thp/enabled
	echo 100 >$thp/khugepaged/scan_sleep_millisecs
	echo 100 >$thp/khugepaged/alloc_sleep_millisecs
	echo 16384 >$thp/khugepaged/pages_to_scan
	made=$(vm thp_collapse_alloc) split=$(vm thp_split_page)
	begin ''
	huge=$(pressure huge "$pid")
	while alive; do
		echo 1 >/sys/kernel/debug/split_huge_pages
		usleep 300000
		pressure collapse "$pid" 2>/dev/null
		usleep 300000
	done
	finish huge
	more huge-first "$huge" 40000
	more huge-split $(($(vm thp_split_page) - split)) 50
	more huge-collapsed $(($(vm thp_collapse_alloc) - made)) 50
else
	skip huge "this kernel has no transparent huge pages"
fi

if [ -d $ksm ]; then
	[ ! -d $thp ] || echo never >$thp/enabled
	echo 10 >$ksm/sleep_millisecs
	echo 5000 >$ksm/pages_to_scan
	echo 1 >$ksm/run
	begin 'same hold=3000 seconds=25' --mergeable
	shared=0 rounds=0
	while alive; do
		n=$(cat $ksm/pages_sharing)
		[ "$n" -le $shared ] || shared=$n
		rounds=$((rounds + 1))
		# Now and then all are parted again.
		[ $((rounds % 30)) != 0 ] || { echo 2 >$ksm/run; echo 1 >$ksm/run; }
		usleep 200000
	done
	finish merge
	more merge-was $shared 1000
	echo 2 >$ksm/run
else
	skip merge "this kernel has no KSM"
fi

echo 40 >/proc/sys/vm/nr_hugepages
if [ "$(cat /proc/sys/vm/nr_hugepages)" -ge 32 ]; then
	mkdir pool
	mount -t hugetlbfs none pool
	begin '' --hugetlbfs "$PWD/pool"
	free=$(awk '/^HugePages_Free/ { print $2 }' /proc/meminfo)
	finish pool
	same pool-used $(($(cat /proc/sys/vm/nr_hugepages) - free)) 32
	umount pool
else
	skip pool "no 32 huge pages are free"
fi
echo 0 >/proc/sys/vm/nr_hugepages

# Linux with a balloon that comes and goes.
start run --name air -k "$QUICK" -i "$INITRD" -c2 -m 160 --balloon -p "loglevel=4 lkvmtest=pattern"
expect "^guest: pattern 1 " 60
breaths=0
while alive && [ $breaths -lt 200 ] && ! grep -aq '^guest: pattern done' "$console"; do
	command_of 10 balloon --name air --inflate 64
	sleep 1
	command_of 10 balloon --name air --deflate 64
	sleep 1
	breaths=$((breaths + 1))
done
wait_exit 90
exits balloon 0
same balloon-rounds "$(grep -ac '^guest: pattern [0-9]* is as it was' "$console")" 12
more balloon-breaths $breaths 1
