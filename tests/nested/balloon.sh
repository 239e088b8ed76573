# SPDX-License-Identifier: MIT
# hosts: plic plic-5.10 arm64 s390x
# limit: 70
# The balloon takes memory from the guest and gives it back. (With deflate-on-OOM a balloon leaves the total as it is.)

start run --name air -k "$QUICK" -i "$INITRD" -c1 -m 192 --balloon -p "loglevel=4 lkvmtest=memory"
expect "^guest: free" 50
full=$(sed -n 's/^guest: free \([0-9]*\).*/\1/p' "$console" | tail -n 1)
command_of 10 balloon --name air --inflate 64
same inflate-status "$status" 0
sleep $((4 * PATIENCE))
less=$(sed -n 's/^guest: free \([0-9]*\).*/\1/p' "$console" | tail -n 1)
taken=$(((full - less) / 1024))
if [ $taken -ge 62 ] && [ $taken -le 70 ]; then ok inflated; else not_ok inflated "$taken MiB less, should be 64"; fi
command_of 10 balloon --name air --deflate 64
same deflate-status "$status" 0
# The guest's kernel keeps some for itself meanwhile; of the 64 MiB all but a few have to come back.
for i in $(seq $((20 * PATIENCE))); do
	taken=$(((full - $(sed -n 's/^guest: free \([0-9]*\).*/\1/p' "$console" | tail -n 1)) / 1024))
	[ $taken -ge 8 ] || break
	sleep 1
done
if [ $taken -lt 8 ]; then ok deflated; else not_ok deflated "$taken MiB are still missing"; fi
command_of 10 stat --name air
same stat-status "$status" 0
command_of 10 stop --name air
wait_exit 10
if [ "$status" != hung ]; then ok stopped; else not_ok stopped "stop did not end it"; fi
