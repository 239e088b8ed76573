# SPDX-License-Identifier: MIT
# hosts: plic plic-5.10 arm64 s390x
# limit: 120
# Options with a guest behind them that no other test needs.

guest 40 run -k "$QUICK" -i "$INITRD" -c1 -m 128 --rng -p "loglevel=4 lkvmtest=rng"
exits rng-exit 0
has rng "^guest: rng ok"

# s390x has huge pages only where KVM was loaded for them, and neither this file format nor firmware.
if [ "$ARCH" != s390x ]; then
	echo 100 >/proc/sys/vm/nr_hugepages
	mkdir huge
	mount -t hugetlbfs none huge
	guest 40 run -k "$QUICK" -i "$INITRD" -c1 -m 128 --hugetlbfs "$PWD/huge" -p "loglevel=4 lkvmtest=info"
	exits hugetlbfs-exit 0
	has hugetlbfs "^guest: cpus 1"
	umount huge
	echo 0 >/proc/sys/vm/nr_hugepages

	gzip -c "$QUICK" >Image.gz
	guest 60 run Image.gz -i "$INITRD" -c1 -m 192 -p "loglevel=4 lkvmtest=info"
	exits gzip-exit 0
	has gzip "^guest: cpus 1"

	# The same as an EFI zboot image: where the payload is, how long it is, and what packed it, in a header of 64 bytes.
	le32() { printf "\\$(printf %03o $(($1 & 255)))\\$(printf %03o $(($1 >> 8 & 255)))\\$(printf %03o $(($1 >> 16 & 255)))\\$(printf %03o $(($1 >> 24)))"; }
	{
		printf 'MZ\000\000zimg'
		le32 64
		le32 "$(stat -c %s Image.gz)"
		printf '\000\000\000\000\000\000\000\000gzip'
		head -c 36 /dev/zero
		cat Image.gz
	} >vmlinuz
	guest 60 run vmlinuz -i "$INITRD" -c1 -m 192 -p "loglevel=4 lkvmtest=info"
	exits zboot-exit 0
	has zboot "^guest: cpus 1"
	rm -f vmlinuz

	# Started where it lies, as firmware is; the command line is the person's alone, and the initrd firmware's own business.
	guest 60 run -f "$QUICK" -i "$INITRD" -c1 -m 128 -p "console=ttyS0 loglevel=7 panic=-1"
	exits firmware-exit 3
	has firmware "Linux version"
	has firmware-alone "not syncing: VFS"
fi

# More RAM than the host has.
guest 60 run -k "$QUICK" -i "$INITRD" -c1 -m 6G -p "loglevel=4 lkvmtest=info"
exits big-exit 0
has big "^guest: memory (5[5-9]|60|61)[0-9][0-9] MiB"

# Two guests at once.
start run --name one -k "$QUICK" -i "$INITRD" -c1 -m 128 -p "loglevel=4 lkvmtest=info"
first=$pid firstconsole=$console
guest 60 run --name two -k "$QUICK" -i "$INITRD" -c1 -m 128 -p "loglevel=4 lkvmtest=info"
exits two-exit 0
has two "^guest: cpus 1"
pid=$first console=$firstconsole
wait_exit 60
exits one-exit 0
has one "^guest: cpus 1"

if [ "$ARCH" != s390x ]; then
	start run -k "$QUICK" -i "$INITRD" -c1 -m 128 --dump-dtb "$PWD/dtb" -p "loglevel=4 lkvmtest=poweroff"
	wait_exit 40
	if [ -s dtb ]; then ok dump-dtb; else not_ok dump-dtb "no device tree in the file"; fi
fi
