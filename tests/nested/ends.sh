# SPDX-License-Identifier: MIT
# hosts: plic plic-5.10 plic-kernel aia arm64* s390x*
# limit: 150
# How a guest ends, and what status that gives.

guest 50 run -k "$QUICK" -i "$INITRD" -c2 -m 128 -p "loglevel=4 lkvmtest=poweroff"
exits poweroff 0
guest 50 run -k "$QUICK" -i "$INITRD" -c2 -m 128 -p "loglevel=4 lkvmtest=reboot"
exits reboot 3
# A panic that reboots is a reboot; one that stays is stopped from outside. On s390x Linux always stays, in a disabled wait, which ends it.
panic=3
[ "$ARCH" != s390x ] || panic=5
guest 50 run -k "$QUICK" -i "$INITRD" -c2 -m 128 -p "loglevel=4 panic=1 lkvmtest=panic"
exits panic-reboot $panic
has panic-said "Kernel panic - not syncing"
start run --name ends -k "$QUICK" -i "$INITRD" -c2 -m 128 -p "loglevel=4 lkvmtest=sleep"
if expect "lkvm guest is up" 40; then ok up; else not_ok up "the guest did not come up"; fi
kill -TERM "$pid"
wait_exit 10
if [ "$status" != hung ]; then ok sigterm; else not_ok sigterm "SIGTERM did not end it"; fi
command_of 10 list
hasnt no-trace "ends" "$output"
