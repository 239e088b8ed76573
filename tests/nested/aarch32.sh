# SPDX-License-Identifier: MIT
# hosts: arm64-nvhe arm64-gicv2
# limit: 220
# A 32-bit Linux: Debian's for ARMv7 with 1 and 2 CPUs, its disk, and how it ends. (A bare guest of that kind is in arm64.sh.)

random disk.img 4
before=$(sum disk.img)
for n in 1 2; do
	guest 100 run --aarch32 -k /root/aarch32/zImage -i /root/aarch32/initrd -c$n -m 256 -d disk.img -p "loglevel=4 lkvmtest=info,verify"
	exits "exit-$n" 0
	has "linux-$n" "^lkvm guest is up .Linux .*-armmp"
	has "cpus-$n" "^guest: cpus $n"
	has "irqs-$n" "^guest: irqs .*gic"
	has "read-$n" "^guest: disk 1 read-only 0 before $before"
	before=$(sum disk.img)
	has "write-$n" "^guest: disk 1 after $before"
done
