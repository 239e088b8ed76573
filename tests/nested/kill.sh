# SPDX-License-Identifier: MIT
# hosts: plic-5.10* plic-6.12
# limit: 1500
# Guests that are killed wherever they are, a thousand with tools/check --full: the host has all that they had. slub_nomerge on its command line keeps the counts apart.

[ -f /root/bare-memcheck ] || { skip guests "they are not beside this lkvm: give --lkvm one that stands in its build folder"; exit 0; }
deaths=60
[ -z "$FULL" ] || deaths=1000
mount -t debugfs none /sys/kernel/debug 2>/dev/null
leaks=/sys/kernel/debug/kmemleak
caches='kvm*'
[ "${FLAVOUR%-kasan}" = "$FLAVOUR" ] || caches='*'
dd if=/dev/zero of=disk0 bs=64K count=1 2>/dev/null

# counts : the objects of KVM's caches; slab memory, page tables, kernel stacks and all other used memory in KiB.
counts() {
	sync
	echo 3 >/proc/sys/vm/drop_caches
	# What a hart has at hand counts as used until it is asked back, and so does what KASAN keeps for whoever still uses it, of each cache apart.
	for cache in /sys/kernel/slab/$caches/shrink; do
		[ -f /proc/lockdep_stats ] || [ ! -w "$cache" ] || echo 1 >"$cache"
	done
	objects=$(awk '/^kvm/ { n += $2 } END { print n + 0 }' /proc/slabinfo)
	used=$(awk '/^(MemTotal):/ { n += $2 } /^(MemFree|Cached|Buffers):/ { n -= $2 } END { print n }' /proc/meminfo)
	slab=$(awk '/^(SUnreclaim|PageTables|KernelStack):/ { n += $2 } END { print n }' /proc/meminfo)
}

early=0
# victim N MICROSECONDS : a guest of the Nth kind that dies after that time.
victim() {
	case $(($1 % 3)) in
	0) set -- "$2" -m 48 -c2 -k /root/bare-memcheck -p "seconds=100" ;;
	1) set -- "$2" -m 48 -c2 -d disk0 --rng -k /root/bare-irqstress -p "requests=1000000" ;;
	2) set -- "$2" -m 96 -c2 -d disk0 --balloon -k "$QUICK" -i "$INITRD" -p "loglevel=4 lkvmtest=ticks" ;;
	esac
	after=$1
	shift
	"$LKVM" run --name victim --network mode=none "$@" >victim.console 2>&1 </dev/null &
	pid=$!
	usleep "$after"
	kill -9 $pid 2>/dev/null || early=$((early + 1))
	wait $pid 2>/dev/null
}

# none WHAT : no object of KVM's is left. Lockdep takes asking them back for a deadlock with rmmod, of Linux 5.10's SLUB itself: there kmemleak must do.
none() {
	if [ -f /proc/lockdep_stats ]; then
		skip "$1" "with lockdep, what harts have at hand cannot be told from what is used"
	else
		same "$1" "$objects" 0
	fi
}

# settled : waits until KVM's objects are gone, which are freed late.
settled() {
	tries=0
	while counts; [ "$objects" != 0 ] && [ ! -f /proc/lockdep_stats ] && [ $tries -lt 20 ]; do
		tries=$((tries + 1))
		sleep 1
	done
}

# Once for all that stays for good.
for n in $(seq 12); do victim "$n" 400000; done
settled
used_before=$used slab_before=$slab
none quiet
early=0

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
# What is lost is lost each time, what else the host takes for itself it takes once. Less than half a page for each death is no leak of theirs.
settled
n=0 least_used=999999 least_slab=999999
for part in 1 2 3; do
	used_before=$used slab_before=$slab
	while [ $n -lt $((deaths * part / 3)) ]; do
		victim $n $((RANDOM * 20))
		n=$((n + 1))
	done
	settled
	none objects-$part
	[ $((used - used_before)) -gt $least_used ] || least_used=$((used - used_before))
	[ $((slab - slab_before)) -gt $least_slab ] || least_slab=$((slab - slab_before))
done
limit=$((deaths / 3 * 2 + 100))
if [ "$caches" = '*' ]; then
	skip used "KASAN never forgets by which calls something was allocated: $least_used KiB"
elif [ $least_used -le $limit ]; then ok used; else not_ok used "each third of $deaths deaths costs $least_used KiB or more"; fi
if [ $least_slab -le $limit ]; then ok slab; else not_ok slab "each third of $deaths deaths costs $least_slab KiB or more of slabs, page tables and stacks"; fi
if [ $early -le $((deaths / 2)) ]; then ok killed; else not_ok killed "$early of $deaths were over before: $(head -n 1 victim.console)"; fi
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
