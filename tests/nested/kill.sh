# SPDX-License-Identifier: MIT
# hosts: plic-5.10* plic-6.12
# limit: 1500
# Guests that are killed wherever they are, a thousand with tools/check --full: the host has all that they had. slub_nomerge on its command line keeps the counts apart.

[ -f /root/bare-memcheck ] || { skip guests "they are not beside this lkvm: give --lkvm one that stands in its build folder"; exit 0; }
deaths=60
[ -z "$FULL" ] || deaths=1000
mount -t debugfs none /sys/kernel/debug 2>/dev/null
leaks=/sys/kernel/debug/kmemleak
dd if=/dev/zero of=disk0 bs=64K count=1 2>/dev/null

# counts : the objects of KVM's caches; slab memory, page tables, kernel stacks and all other used memory in KiB.
counts() {
	sync
	echo 3 >/proc/sys/vm/drop_caches
	objects=$(awk '/^kvm/ { n += $2 } END { print n + 0 }' /proc/slabinfo)
	used=$(awk '/^(MemTotal):/ { n += $2 } /^(MemFree|Cached|Buffers):/ { n -= $2 } END { print n }' /proc/meminfo)
	slab=$(awk '/^(SUnreclaim|PageTables|KernelStack):/ { n += $2 } END { print n }' /proc/meminfo)
}

# victim N MICROSECONDS : a guest of the Nth kind that dies after that time.
victim() {
	case $(($1 % 3)) in
	0) set -- "$2" -c2 -k /root/bare-memcheck -p "seconds=100" ;;
	1) set -- "$2" -c2 -d disk0 --rng -k /root/bare-irqstress -p "requests=1000000" ;;
	2) set -- "$2" -c2 -d disk0 --balloon -k "$QUICK" -i "$INITRD" -p "loglevel=4 lkvmtest=ticks" ;;
	esac
	after=$1
	shift
	"$LKVM" run --name victim --network mode=none -m 48 "$@" >victim.console 2>&1 </dev/null &
	pid=$!
	usleep "$after"
	kill -9 $pid
	wait $pid 2>/dev/null
}

# all_back : waits for what is freed late, at most that long. Less than half a page for each death is no leak of theirs.
all_back() {
	tries=0
	while counts; [ "$objects" != "$objects_before" ] || [ $((used - used_before)) -gt $((deaths * 2 + 300)) ] || [ $((slab - slab_before)) -gt $((deaths * 2 + 200)) ]; do
		tries=$((tries + 1))
		[ $tries -lt 20 ] || return 1
		sleep 1
	done
}

# Once for all that stays for good.
for n in $(seq 12); do victim "$n" 400000; done
sleep 3
counts
objects_before=$objects used_before=$used slab_before=$slab
same quiet "$objects" 0

# A guest that lives is seen by each of the counts.
"$LKVM" run --name victim --network mode=none -m 48 -c2 -k /root/bare-memcheck -p "seconds=100" >victim.console 2>&1 </dev/null &
pid=$!
sleep 3
counts
if [ "$objects" -ge 2 ]; then ok control-objects; else not_ok control-objects "$objects objects with a guest of two CPUs"; fi
if [ $((used - used_before)) -gt 40000 ]; then ok control-used; else not_ok control-used "$((used - used_before)) KiB more with a guest of 48 MiB"; fi
if [ $((slab - slab_before)) -gt 60 ]; then ok control-slab; else not_ok control-slab "$((slab - slab_before)) KiB more"; fi
kill -9 $pid
wait $pid 2>/dev/null

[ ! -w $leaks ] || echo clear >$leaks
n=0
while [ $n -lt $deaths ]; do
	victim $n $((RANDOM * 20))
	n=$((n + 1))
done
if all_back; then
	ok back
else
	not_ok back "after $deaths deaths $objects objects, $((used - used_before)) KiB more in use, $((slab - slab_before)) KiB more of slabs, page tables and stacks"
fi
if [ -w $leaks ]; then
	# What is not found twice, five seconds after it was made, is lost.
	for n in 1 2; do
		sleep 6
		echo scan >$leaks
	done
	same kmemleak "$(head -c 400 $leaks | tr '\n' ' ')" ""
fi
guest 40 run --network mode=none -m 48 -c2 -k /root/bare-memcheck -p "seconds=3"
same lives "$status" 0
