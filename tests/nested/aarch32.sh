# SPDX-License-Identifier: MIT
# hosts: arm64-nvhe arm64-gicv2
# limit: 220
# A 32-bit Linux: Debian's for ARMv7 with one CPU, its disk, and how it ends. (A bare guest of that kind is in arm64.sh.) With two it comes up as well,
# but takes the emulator minutes, at times more than five.

random disk.img 4
before=$(sum disk.img)
guest 100 run --aarch32 -k /root/aarch32/zImage -i /root/aarch32/initrd -c1 -m 256 -d disk.img -p "loglevel=4 lkvmtest=info,verify"
exits exit 0
has linux "^lkvm guest is up .Linux .*-armmp"
has cpus "^guest: cpus 1"
has irqs "^guest: irqs .*gic"
has read "^guest: disk 1 read-only 0 before $before"
has write "^guest: disk 1 after $(sum disk.img)"
