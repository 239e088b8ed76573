# SPDX-License-Identifier: MIT
# hosts: plic plic-5.10 plic-5.10-plain plic-5.10-debug plic-kernel plic-kernel-5.10 plic-kernel-debug aia* arm64* s390x*
# limit: 120
# What the guest wrote is in the file on the host, byte by byte; a read-only disk stays as it was.

# Hercules takes seconds for each sum.
mib=16
[ "$ARCH" != s390x ] || mib=8
random disk.img $mib
random other.img 2
before=$(sum disk.img)
other=$(sum other.img)
guest 100 run -k "$IMAGE" -i "$INITRD" -c2 -m 256 -d disk.img -d other.img,ro -p "loglevel=4 lkvmtest=disk"
exits exit 0
has read "^guest: disk $((mib << 20)) bytes, before $before"
has write "^guest: disk after $(sum disk.img)"
blob=$(sed -n 's/^guest: blob \([0-9a-f]*\).*/\1/p' "$console" | tr -d '\r')
same place "$(dd if=disk.img bs=64k skip=48 count=64 2>/dev/null | sum)" "$blob"
hasnt write-failed "^guest: disk write failed"
has readonly "^guest: second disk read-only 1, sum $other"
hasnt readonly-kept "^guest: second disk was written"
same readonly-file "$(sum other.img)" "$other"

# Request after request, whose completions are interruptions: they reach the guest without its vCPU's leaving KVM, unless the PLIC is lkvm's own.
measure reads reads -d disk.img
check reads-interruptions "$measured" [ $taken -ge 1000 ]
if [ "$chip" = plic ]; then
	check reads-by-exits "$measured" [ $exits -ge $taken ]
else
	check reads-no-exits "$measured" [ $((4 * exits)) -lt $taken ]
fi
