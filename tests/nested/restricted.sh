# SPDX-License-Identifier: MIT
# hosts: s390x*
# limit: 120
# A guest kernel that takes only devices with VIRTIO_F_ACCESS_PLATFORM, as one under protected virtualisation would: $SMALL has
# arch/s390x/kernel's patches.

if [ -z "$SMALL" ]; then
	skip all "there is no kernel with the parameter"
	return 0
fi
random disk.img 8
random other.img 1
other=$(sum other.img)

# Without the feature: refused, by the kernel's own words.
guest 40 run -k "$SMALL" -i "$INITRD" -c1 -m 128 -d disk.img -p "loglevel=5 virtio_restricted lkvmtest=info"
exits refused-exit 0
has refused "virtio_blk virtio[0-9]+: device must provide VIRTIO_F_ACCESS_PLATFORM"
has refused-there "^guest: virtio 0x0002"

# The parameter may be given and say no.
guest 40 run -k "$SMALL" -i "$INITRD" -c1 -m 128 -d disk.img -p "loglevel=5 virtio_restricted=0 lkvmtest=info"
exits off-exit 0
hasnt off-refused "VIRTIO_F_ACCESS_PLATFORM"

# One disk with it, one without: each is looked at by itself.
before=$(sum disk.img)
guest 40 run -k "$SMALL" -i "$INITRD" -c2 -m 128 -d disk.img,access-platform -d other.img -p "loglevel=5 virtio_restricted lkvmtest=disk"
exits one-exit 0
has one-refused "device must provide VIRTIO_F_ACCESS_PLATFORM"
has one-read "^guest: disk 8388608 bytes, before $before"
has one-write "^guest: disk after $(sum disk.img)"
hasnt one-second "^guest: second disk"

# All devices at once, of every kind.
mkdir share
echo there >share/file
before=$(sum disk.img)
guest 60 run -k "$SMALL" -i "$INITRD" -c2 -m 128 --access-platform -d disk.img -d other.img,ro --rng --balloon --network mode=none --9p "$PWD/share,tag" \
	-p "loglevel=5 virtio_restricted lkvmtest=disk,rng,info"
exits all-exit 0
hasnt all-refused "device must provide"
has all-read "^guest: disk 8388608 bytes, before $before"
has all-write "^guest: disk after $(sum disk.img)"
blob=$(sed -n 's/^guest: blob \([0-9a-f]*\).*/\1/p' "$console" | tr -d '\r')
same all-place "$(dd if=disk.img bs=64k skip=48 count=64 2>/dev/null | sum)" "$blob"
has all-readonly "^guest: second disk read-only 1, sum $other"
has all-rng "^guest: rng ok"
