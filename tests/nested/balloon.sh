# SPDX-License-Identifier: MIT
# hosts: plic
# limit: 70
# The balloon takes memory from the guest and gives it back.

start run --name air -k "$QUICK" -i "$INITRD" -c1 -m 192 --balloon -p "loglevel=4 lkvmtest=memory"
expect "^guest: total" 50
full=$(sed -n 's/^guest: total \([0-9]*\).*/\1/p' "$console" | tail -n 1)
command_of 10 balloon --name air --inflate 64
same inflate-status "$status" 0
sleep 4
less=$(sed -n 's/^guest: total \([0-9]*\).*/\1/p' "$console" | tail -n 1)
same inflated "$(((full - less) / 1024))" 64
command_of 10 balloon --name air --deflate 64
same deflate-status "$status" 0
sleep 4
same deflated "$(sed -n 's/^guest: total \([0-9]*\).*/\1/p' "$console" | tail -n 1)" "$full"
command_of 10 stat --name air
same stat-status "$status" 0
command_of 10 stop --name air
wait_exit 10
if [ "$status" != hung ]; then ok stopped; else not_ok stopped "stop did not end it"; fi
