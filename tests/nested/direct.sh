# SPDX-License-Identifier: MIT
# hosts: plic plic-5.10 arm64 s390x
# limit: 60
# O_DIRECT, and the same guest with a quick kernel.

mib=16 disk=disk.img
[ "$ARCH" != s390x ] || mib=1
random disk.img $mib
# tmpfs takes O_DIRECT since 6.6; before, a block device of it does.
case $FLAVOUR in
s390x* | plic-5.10*)
	disk=/dev/loop0
	losetup $disk disk.img || not_ok loop "there is no block device of a file"
	;;
esac
before=$(sum disk.img)
guest 50 run -k "$QUICK" -i "$INITRD" -c2 -m 128 -d $disk,direct -p "loglevel=4 lkvmtest=disk"
exits exit 0
has read "^guest: disk $((mib << 20)) bytes, before $before"
has write "^guest: disk after $(sum $disk)"
[ $disk = disk.img ] || losetup -d $disk
