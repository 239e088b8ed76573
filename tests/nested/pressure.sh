# SPDX-License-Identifier: MIT
# hosts: plic-5.10* plic-6.12
# limit: 400
# A guest's memory stays what the guest put there, whatever the host does with it: swapping, aging, want of memory, huge pages made and split, pages set
# aside, the balloon. tests/guest/common/memcheck.c is that guest; each test says how it knows that the host did so.

vm() { sed -n "s/^$1 //p" /proc/vmstat; }

# begin ARGUMENTS LKVM-ARGUMENT... : a guest that checks its memory.
begin() {
	arguments=$1
	shift
	start run --nodefaults --network mode=none --loglevel=warning -m 64 -c2 -k /root/bare-memcheck -p "$arguments" "$@"
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
thp=/sys/kernel/mm/transparent_hugepage

begin seconds=15
# It may put a number there itself between its looks.
for n in 1 2 3 4 5 6 7 8 9 10; do
	pressure poke "$pid" $((40 << 20)) 2>/dev/null
	usleep 300000
done
wait_exit 90
same control "$status" 4
has control-said '^FAIL memory: 0x[0-9a-f]+ is 0x5a5a5a5a'

modprobe zram 2>/dev/null
if [ -b /dev/zram0 ]; then
	echo 256M >/sys/block/zram0/disksize
	mkswap /dev/zram0 >/dev/null
	swapon /dev/zram0

	# What the guest has not touched since it was last looked at goes; most of all while it rests.
	before=$(vm pswpin)
	begin 'mib=2 idle=4000 seconds=20'
	while alive; do pressure out "$pid" 2>/dev/null; done
	finish swap
	more swap-was $(($(vm pswpin) - before)) 64

	# All memory for huge pages, and back: pages are moved and swapped out to make room for them.
	before=$(($(vm pgmigrate_success) + $(vm pswpout)))
	begin 'mib=24 seconds=15'
	while alive; do
		awk '/^MemTotal/ { print int($2 / 2048) }' /proc/meminfo >/proc/sys/vm/nr_hugepages
		pressure cold "$pid" 2>/dev/null
		echo 0 >/proc/sys/vm/nr_hugepages
		usleep 300000
	done
	finish want
	more want-was $(($(vm pgmigrate_success) + $(vm pswpout) - before)) 500
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
	begin seconds=15
	huge=$(pressure huge "$pid")
	while alive; do
		echo 1 >/sys/kernel/debug/split_huge_pages
		usleep 300000
		pressure collapse "$pid" 2>/dev/null
		usleep 300000
	done
	finish huge
	more huge-first "$huge" 40000
	more huge-split $(($(vm thp_split_page) - split)) 8
	more huge-collapsed $(($(vm thp_collapse_alloc) - made)) 8
else
	skip huge "this kernel has no transparent huge pages"
fi

echo 40 >/proc/sys/vm/nr_hugepages
if [ "$(cat /proc/sys/vm/nr_hugepages)" -ge 32 ]; then
	mkdir pool
	mount -t hugetlbfs none pool
	begin seconds=15 --hugetlbfs "$PWD/pool"
	free=$(awk '/^HugePages_Free/ { print $2 }' /proc/meminfo)
	finish pool
	more pool-used $(($(cat /proc/sys/vm/nr_hugepages) - free)) 28
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
