# SPDX-License-Identifier: MIT
# hosts: arm64-nested
# limit: 150
# Virtual machines in a virtual machine: a guest with an EL2 of its own is a KVM host, in it runs the same lkvm, and its guest prints lines.

[ -f /root/bare-exits ] || { skip guest "it is not beside this lkvm: give --lkvm one that stands in its build folder"; exit 0; }
mkdir -p more/bin more/root
cp "$LKVM" more/bin/lkvm
cp /root/bare-exits more/root/
(cd more && find . -type f | cpio -o -H newc 2>/dev/null) >more.cpio
cat "$INITRD" more.cpio >both.cpio

guest 140 run --nested -k "$IMAGE" -i both.cpio -c1 -m 512 -p "loglevel=6 lkvmtest=summit"
exits exit 0
has el2 'kvm \[1\]: .*VHE mode initialized'
has inner 'PASS  bare-exits  [0-9]+ passed'
has status '^guest: summit done, status 0'
