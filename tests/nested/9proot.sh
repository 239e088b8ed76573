# SPDX-License-Identifier: MIT
# hosts: plic plic-5.10 aia arm64* s390x
# limit: 150
# A folder as the guest's root, mounted from Debian's kernel's initrd and, with a kernel that can, by the kernel itself.

mkdir -p root/bin root/etc root/proc root/sys root/dev root/tmp
cp /bin/busybox root/bin/
echo "a motd" >root/etc/motd
guest 70 run -k "$IMAGE" -i "$INITRD" -c2 -m 256 -d "$PWD/root" -p "loglevel=4 lkvmtest=9proot"
exits exit 0
has mount "^guest: root mounted"
has read "^guest: root says a motd"
same write "$(cat root/from-guest 2>/dev/null)" written
if [ -n "$SMALL" ]; then
	cat >root/init <<-'EOF'
	#!/bin/busybox sh
	/bin/busybox echo "guest: init of the 9p root"
	/bin/busybox poweroff -f
	EOF
	chmod 755 root/init
	guest 50 run -k "$SMALL" -c2 -m 128 -d "$PWD/root" -p "loglevel=4 init=/init"
	exits kernel-exit 0
	has kernel-root "^guest: init of the 9p root"
else
	skip kernel-root "there is no kernel with 9p built in"
fi
