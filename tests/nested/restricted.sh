# SPDX-License-Identifier: MIT
# hosts: s390x*
# limit: 120
# A guest kernel that takes only devices with VIRTIO_F_ACCESS_PLATFORM, as one under protected virtualisation would: $SMALL has
# arch/s390x/kernel's patches.

if [ -z "$SMALL" ]; then
	skip all "there is no kernel with the parameter"
	return 0
fi
random disk.img 1
random other.img 1
other=$(sum other.img)
before=$(sum disk.img)
on() { sed -n "s/^guest: $1 \([0-9a-f]*\).*/\1/p" "$console" | tr -d '\r'; }

# Without the feature: refused, by the kernel's own words.
guest 40 run -k "$SMALL" -i "$INITRD" -c1 -m 128 -d disk.img -p "loglevel=5 virtio_restricted lkvmtest=verify,info"
exits refused-exit 0
has refused "virtio_blk virtio[0-9]+: device must provide VIRTIO_F_ACCESS_PLATFORM"
has refused-there "^guest: virtio 0x0002"
hasnt refused-disk "^guest: disk"

# The parameter may be given and say no.
guest 40 run -k "$SMALL" -i "$INITRD" -c1 -m 128 -d disk.img -p "loglevel=5 virtio_restricted=0 lkvmtest=verify"
exits off-exit 0
hasnt off-refused "VIRTIO_F_ACCESS_PLATFORM"
has off-read "^guest: disk 1 read-only 0 before $before"

# One disk with it, one without: each is looked at by itself.
before=$(sum disk.img)
guest 40 run -k "$SMALL" -i "$INITRD" -c2 -m 128 -d disk.img,access-platform -d other.img -p "loglevel=5 virtio_restricted lkvmtest=verify"
exits one-exit 0
has one-refused "device must provide VIRTIO_F_ACCESS_PLATFORM"
has one-read "^guest: disk 1 read-only 0 before $before"
has one-write "^guest: disk 1 after $(sum disk.img)"
same one-place "$(dd if=disk.img bs=64k skip=2 count=1 2>/dev/null | sum)" "$(on blob)"
hasnt one-second "^guest: disk 2"

# All devices at once, of every kind.
mkdir share
before=$(sum disk.img)
guest 60 run -k "$SMALL" -i "$INITRD" -c2 -m 128 --access-platform -d disk.img -d other.img,ro --rng --balloon --network mode=none --9p "$PWD/share,tag" \
	-p "loglevel=5 virtio_restricted lkvmtest=verify,rng,info"
exits all-exit 0
# (Linux's balloon driver gives the feature away by itself, and is refused.)
hasnt all-refused "virtio_(blk|net|rng).*: device must provide|9pnet.*: device must provide"
has all-read "^guest: disk 1 read-only 0 before $before"
has all-write "^guest: disk 1 after $(sum disk.img)"
same all-place "$(dd if=disk.img bs=64k skip=2 count=1 2>/dev/null | sum)" "$(on blob)"
has all-readonly "^guest: disk 2 read-only 1 before $other"
same all-readonly-file "$(sum other.img)" "$other"
has all-rng "^guest: rng ok"
