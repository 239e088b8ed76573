#!/bin/sh
# SPDX-License-Identifier: MIT
# Measures KVM in the emulated host: /share/settings says how often. Each result is a line "FIGURE VMM VALUE" in /share/results.
. /share/settings
for round in $(seq "$RUNS"); do
	cost >/tmp/said 2>&1 || echo "failed $VMM kvm: status $?" >>/share/results
	while read -r name value; do
		case $name in
		FAIL | SKIP) echo "failed $VMM kvm: $name $value" >>/share/results ;;
		*) echo "kvm-$name $VMM $value" >>/share/results ;;
		esac
	done </tmp/said
	echo "$VMM, round $round"
done
