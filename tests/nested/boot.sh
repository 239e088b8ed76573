# SPDX-License-Identifier: MIT
# hosts: plic plic-5.10* plic-kernel plic-kernel-5.10 aia* rv64 arm64* s390x*
# limit: 300
# Debian's kernel with 1, 2 and 8 CPUs, on the interrupt controller this host should lead to.

# irqs CHIP : what Linux calls the drivers of that.
irqs() {
	case $1 in
	aia) echo 'aplic|imsic' ;;
	plic*) echo plic ;;
	gicv2*) echo 'gic-0|gicv2' ;;
	gicv3*) echo gicv3 ;;
	esac
}

# What --irqchip auto takes here.
case $FLAVOUR in
aia*) auto=aia ;;
plic-kernel* | plic-5.10*) auto=plic-kernel ;;
plic* | rv64) auto=plic ;;
arm64-gicv2) auto=gicv2m ;;
arm64*) auto=gicv3-its ;;
*) auto='' ;;
esac
irqs=$(irqs "${chip:-$auto}") counts='1 2 8'
case $FLAVOUR in
rv64) counts=2 ;;
s390x*) counts='1 8' ;;
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
if [ -n "$auto" ]; then
	start_fed run --name auto --irqchip auto -k "$QUICK" -i "$INITRD" -c2 -m 256 -p "loglevel=4 lkvmtest=info,echo"
	expect "^guest: type" 60
	command_of 10 stat auto
	has auto "^ *irqchip $auto( |\$)" "$output"
	send end
	unfeed
	wait_exit 20
	exits auto-exit 0
	has auto-irqs "^guest: irqs .*($(irqs $auto))"
fi
