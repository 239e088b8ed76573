# SPDX-License-Identifier: MIT
# hosts: s390x*
# limit: 120
# Linux sees a disk come, reads and writes it, and sees it go; and the next one, at once, which is no other name for the last.

start run --name hot -k "$QUICK" -i "$INITRD" -c2 -m 128 -p "loglevel=4 lkvmtest=hotplug"
for round in 1 2 3; do
	dd if=/dev/urandom of=hot$round bs=64K count=$round 2>/dev/null
	before=$(sum hot$round)
	[ $round != 1 ] || expect "^guest: waits for disk 1" 50
	command_of 10 attach hot --disk hot$round
	same attach-$round "$status" 0
	# No device number comes twice: Linux would take the new device for the old one where it has not looked meanwhile.
	has attach-$round-said "^Guest hot has blk0, device 0.0.000$((round - 1))" "$output"
	if expect "^guest: disk $round after [0-9a-f]{32}" 30; then ok up-$round; else not_ok up-$round "the guest does not get through with the disk"; fi
	has before-$round "^guest: disk $round before $before"
	command_of 10 detach hot blk0
	same detach-$round "$status" 0
	has after-$round "^guest: disk $round after $(sum hot$round)"
	check changed-$round "the guest wrote nothing" [ "$(sum hot$round)" != "$before" ]
	# The last one at once behind the second.
	[ $round = 2 ] || { if expect "^guest: disk $round is gone" 30; then ok gone-$round; else not_ok gone-$round "the guest still has the disk"; fi; }
done
wait_exit 20
exits exit 0
has gone-2 "^guest: disk 2 is gone"
