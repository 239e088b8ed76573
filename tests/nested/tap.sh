# SPDX-License-Identifier: MIT
# hosts: plic plic-5.10 arm64* s390x
# limit: 60
# A tap that lkvm makes itself goes away with the guest; it gets the host's address.

before=$(ls /sys/class/net | tr '\n' ' ')
mkdir www
random www/blob 1
start run --name tapped -k "$QUICK" -i "$INITRD" -c1 -m 128 --network mode=tap,host_ip=10.77.0.1 -p "loglevel=4 lkvmtest=net mib=$MIB"
if expect "^guest: mac" 40; then ok up; else not_ok up "no guest: $(tail -n 1 "$errors")"; fi
if expect "^guest: ping ok" 20; then ok ping; else not_ok ping "the guest could not reach host_ip"; fi
wait_exit 40
exits exit 0
same gone "$(ls /sys/class/net | tr '\n' ' ')" "$before"
