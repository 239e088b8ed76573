# SPDX-License-Identifier: MIT
# hosts: plic plic-5.10 arm64
# limit: 60
# O_DIRECT, and the same guest with a quick kernel.

# tmpfs takes O_DIRECT since 6.6.
random disk.img 16
before=$(sum disk.img)
guest 50 run -k "$QUICK" -i "$INITRD" -c2 -m 128 -d disk.img,direct -p "loglevel=4 lkvmtest=disk"
exits exit 0
has read "^guest: disk 16777216 bytes, before $before"
has write "^guest: disk after $(sum disk.img)"
