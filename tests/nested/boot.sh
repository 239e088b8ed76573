# SPDX-License-Identifier: MIT
# hosts: plic plic-5.10* plic-kernel plic-kernel-5.10 aia rv64 arm64* s390x*
# limit: 300
# Debian's kernel with 1, 2 and 8 CPUs, on the interrupt controller this host should lead to.

case $FLAVOUR in
aia) irqs='aplic|imsic' counts='1 2 8' ;;
rv64) irqs=plic counts=2 ;;
arm64-gicv2) irqs='gic-0|gicv2' counts='1 2 8' ;;
arm64*) irqs=gicv3 counts='1 2 8' ;;
s390x*) irqs='' counts='1 8' ;;
*) irqs=plic counts='1 2 8' ;;
esac
for n in $counts; do
	guest 140 run -k "$IMAGE" -i "$INITRD" -c"$n" -m 256 -p "loglevel=4 lkvmtest=info,rtc"
	exits "exit-$n" 0
	has "cpus-$n" "^guest: cpus $n"
	[ -z "$irqs" ] || has "irqs-$n" "^guest: irqs .*($irqs)"
	has "memory-$n" "^guest: memory (1[89]|2[0-4])[0-9] MiB"
done
if [ "$ARCH" = s390x ]; then
	guest 140 run -k "$DEBIAN" -i "$INITRD" -c2 -m 256 -p "loglevel=4 lkvmtest=info"
	exits exit-2 0
	has cpus-2 "^guest: cpus 2"
	has debian "^lkvm guest is up .Linux 6\.1\.0-"
else
	has rtc "^guest: rtc .* [0-9]{10}"
fi
