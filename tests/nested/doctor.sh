# SPDX-License-Identifier: MIT
# hosts: plic aia rv64
# limit: 40
# What `lkvm doctor` and `lkvm regs` say of this host.

command_of 15 doctor
same doctor-status "$status" 0
has doctor-kvm "/dev/kvm" "$output"
command_of 15 regs
same regs-status "$status" 0
for r in pc ra sp mode satp_mode mvendorid timer; do has "regs-$r" "(^|[^a-z])$r([^a-z]|\$)" "$output"; done
[ "$FLAVOUR" != aia ] || has regs-aia "siselect|iprio" "$output"
if [ "$(wc -l <"$output")" -gt 60 ]; then ok regs-many; else not_ok regs-many "$(wc -l <"$output") lines only"; fi
command_of 15 regs --json
same json-status "$status" 0
has json '^ *[{[]' "$output"
mv /dev/kvm /dev/kvm.away
command_of 15 doctor
if [ "$status" != 0 ]; then ok no-kvm-status; else not_ok no-kvm-status "doctor is content without /dev/kvm"; fi
cat "$errors" >>"$output"
has no-kvm "/dev/kvm" "$output"
mv /dev/kvm.away /dev/kvm
