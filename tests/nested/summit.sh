# SPDX-License-Identifier: MIT
# hosts: arm64-nested
# limit: 350
# Virtual machines in a virtual machine: a guest with an EL2 of its own is a KVM host, in it runs the same lkvm, and its guest prints lines.

[ -f /root/bare-exits ] || { skip guest "it is not beside this lkvm: give --lkvm one that stands in its build folder"; exit 0; }
mkdir -p more/bin more/root
cp "$LKVM" more/bin/lkvm
cp /root/bare-exits more/root/
(cd more && find . -type f | cpio -o -H newc 2>/dev/null) >more.cpio
cat "$INITRD" more.cpio >both.cpio

guest 140 run --nested -k "$IMAGE" -i both.cpio -c1 -m 512 -p "loglevel=6 lkvmtest=summit"
exits exit 0
has el2 'kvm \[1\]: VHE mode initialized'
has inner 'PASS  bare-exits  [0-9]+ passed'
has status '^guest: summit done, status 0'

# At an EL2 without VHE. As a hypervisor Linux begins there with flushing all of stage 2, which takes Debian's KVM minutes; not one with arch/arm64/kernel/linux-7.3.
case $(uname -r) in
*+deb*)
	guest 60 run --nested --e2h0 -k "$IMAGE" -i "$INITRD" -c1 -m 256 -p "loglevel=4 kvm-arm.mode=none lkvmtest=arm64"
	exits e2h0-exit 0
	has e2h0 "^guest: level EL2"
	skip e2h0-inner "this host's kernel would take minutes to flush a stage 2"
	;;
*)
	guest 200 run --nested --e2h0 -k "$IMAGE" -i both.cpio -c1 -m 512 -p "loglevel=6 lkvmtest=summit"
	exits e2h0-exit 0
	has e2h0 'kvm \[1\]: Hyp nVHE mode initialized'
	has e2h0-inner 'PASS  bare-exits  [0-9]+ passed'
	has e2h0-status '^guest: summit done, status 0'
	;;
esac
