# SPDX-License-Identifier: MIT
# hosts: plic plic-5.10 arm64 s390x
# limit: 120
# The balloon takes memory from the guest and gives it back. (With deflate-on-OOM a balloon leaves the total as it is.)

start run --name air -k "$QUICK" -i "$INITRD" -c1 -m 192 --balloon -p "loglevel=4 lkvmtest=memory"
expect "^guest: free" 50

# Whole lines: the last one may be half there. It is the guest's latest figure, or with `fresh` one that it took after this.
figures() { sed '$d' "$console" | sed -n 's/^guest: free \([0-9]*\).*/\1/p'; }
fresh() {
	local tries=0 enough=$(($(figures | wc -l) + 3))
	while [ "$(figures | wc -l)" -lt $enough ] && [ $tries -lt $((100 * PATIENCE)) ]; do
		usleep 300000
		tries=$((tries + 1))
	done
	figures | tail -n 1
}
full=$(fresh)
command_of 10 balloon --name air --inflate 64
same inflate-status "$status" 0
for i in $(seq $((20 * PATIENCE))); do
	command_of 10 stat --name air --json
	! grep -q '"actual":67108864' "$output" || break
	sleep 1
done
less=$(fresh)
taken=$(((full - less) / 1024))
if [ $taken -ge 62 ] && [ $taken -le 70 ]; then ok inflated; else not_ok inflated "$taken MiB less, should be 64"; fi
command_of 10 balloon --name air --deflate 64
same deflate-status "$status" 0
# The guest's kernel keeps some for itself meanwhile; of the 64 MiB all but a few have to come back.
for i in $(seq $((20 * PATIENCE))); do
	taken=$(((full - $(figures | tail -n 1)) / 1024))
	[ $taken -ge 8 ] || break
	sleep 1
done
if [ $taken -lt 8 ]; then ok deflated; else not_ok deflated "$taken MiB are still missing"; fi
command_of 10 stat --name air
same stat-status "$status" 0
command_of 10 stop --name air
wait_exit 10
if [ "$status" != hung ]; then ok stopped; else not_ok stopped "stop did not end it"; fi
