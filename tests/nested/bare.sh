# SPDX-License-Identifier: MIT
# hosts: plic plic-5.10* plic-kernel* aia* arm64* s390x*
# limit: 240
# Guests without an operating system (tests/guest): interrupts under load and their edge cases, interrupt controllers, virtio-mmio
# registers, firmware calls and other exits. Each prints PASS, FAIL and SKIP lines and powers off, with "system failure" after a FAIL.

base="--nodefaults --network mode=none --loglevel=warning -m 64"

# bare WHAT GUEST ARGUMENT... : one result for the whole guest, and one for each test it failed or skipped.
bare() {
	local what=$1 guest=$2
	shift 2
	# shellcheck disable=SC2086
	guest 100 run $base -k "/root/bare-$guest" "$@"
	said "$what"
	if [ "$status" = 0 ] && grep -aq '^DONE 0 failures' "$console"; then
		ok "$what"
		# What went well need not be shown with what did not.
		rm -f "$console" "$errors"
	elif ! grep -aq '^FAIL' "$console"; then
		not_ok "$what" "exit status $status, last line '$(tail -n 1 "$console" | tr -d '\r')': $(tail -n 1 "$errors")"
	fi
}

# ended NUMBER STATUS : the guest that ends in that way.
ended() {
	# shellcheck disable=SC2086
	guest 20 run $base -k /root/bare-exits -p "end=$1"
	same "end-$1" "$status" "$2"
	[ "$status" != "$2" ] || rm -f "$console"
}

# A device that comes while the guest runs, and goes.
hotplug() {
	# shellcheck disable=SC2086
	start run $base --name hot -k /root/bare-css-reports -c1 --rng -d disk0 -p hotplug=$((60 * PATIENCE))
	expect "READY for a device" 30
	command_of 10 attach hot --disk nowhere
	same attach-nowhere "$status" 1
	has attach-nowhere-said "$PWD/nowhere" "$errors"
	command_of 10 attach hot --disk disk0
	same attach-taken "$status" 1
	command_of 10 attach hot --disk disk1
	same attach "$status" 0
	has attach-said "^Guest hot has blk1, device 0.0.0002" "$output"
	command_of 10 stat hot
	has attach-stat "blk1 +ccw_exits" "$output"
	expect "READY to lose it" 20
	command_of 10 detach hot blk1
	same detach "$status" 0
	command_of 10 detach hot blk1
	same detach-again "$status" 1
	command_of 10 detach hot rng0
	same detach-rng "$status" 1
	wait_exit 20
	said hotplug
	same hotplug-status "$status" 0
	has hotplug '^DONE 0 failures'
	hasnt hotplug-complete '^SKIP hotplug'
}

# Lines that come while the guest sleeps.
input() {
	local n=1
	# shellcheck disable=SC2086
	start_fed run $base -k /root/bare-vccw-input -c1 --console virtio -p "wait=$((15000 * PATIENCE))"
	while [ $n -le 10 ] && expect "^READY $(printf %02d $n)" 20; do
		send "$(printf 'line %02d' $n)"
		n=$((n + 1))
	done
	unfeed
	wait_exit 20
	said input
	same input-status "$status" 0
	has input '^DONE 0 failures'
}

# Storage keys; where KVM goes round and round with the guest in one instruction, it can still be looked at and stopped.
keys() {
	# shellcheck disable=SC2086
	start run $base --name keys -k /root/bare-exits -c1 -p keys
	if expect "^(PASS|FAIL) keys" 5; then
		wait_exit 10
		said keys
		exits keys 0
		return
	fi
	skip keys-use "this host's KVM never ends the first instruction that uses storage keys"
	command_of 10 regs keys
	same keys-regs "$status" 0
	command_of 10 stop --name keys
	same keys-stop "$status" 0
	wait_exit 10
	exits keys-stopped 0
}

irqstress() {
	bare "irqstress-$1-$2" irqstress --irqchip "$1" -c"$2" -d disk0 -d disk1 --rng -p "requests=$3"
}

case $ARCH in
riscv64) bare="irqstress plic plicstress exits mmio ends" ;;
arm64) bare="irqstress gic exits mmio many flash pl031 ends-arm64" ;;
s390x) bare="css-sense css-instructions css-orb css-ccw css-data css-functions css-measure css-reports css-hostile vccw-commands vccw-storm vccw-input exits ends-s390x" ;;
esac
[ -n "$(ls /root/bare-* 2>/dev/null)" ] || { skip guests "they are not beside this lkvm: give --lkvm one that stands in its build folder"; bare=''; }
[ "$FLAVOUR" != arm64-nested ] || [ -z "$bare" ] || bare="$bare el2"
# The console that arm64's guests write to is the serial port.
virtio_console="--console virtio"
case $FLAVOUR in
aia) chips="plic aia" ;;
aia-kernel) chips="plic-kernel aia" ;;
# Lockdep shall see both.
plic-5.10-debug) chips="plic-kernel plic" ;;
arm64-gicv2) chips="gicv2m gicv2" ;;
arm64*) chips="gicv3-its gicv3" ;;
*) chips=$chip ;;
esac
[ "$ARCH" != arm64 ] || virtio_console=''
dd if=/dev/zero of=disk0 bs=64K count=1 2>/dev/null
dd if=/dev/zero of=disk1 bs=64K count=1 2>/dev/null
for test in $bare; do
	case $test in
	irqstress)
		for chip in $chips; do
			irqstress $chip 1 50
			irqstress $chip 2 150
			irqstress $chip 8 50
		done
		;;
	plic)
		bare plic-1 plic --irqchip "${chips%% *}" -c1
		bare plic-3 plic --irqchip "${chips%% *}" -c3
		;;
	plicstress)
		# The same program on the PLIC in the kernel, where disks are edges, and on the one in user space.
		disks='' words=steps=300
		for n in 0 1 2 3 4 5 6 7 8 9 10 11; do
			dd if=/dev/zero of=source$n bs=64K count=1 2>/dev/null
			disks="$disks -d source$n"
		done
		[ "${chips%% *}" != plic-kernel ] || words="$words edge"
		for n in 1 3 8; do
			# shellcheck disable=SC2086
			bare "plicstress-$n" plicstress --irqchip "${chips%% *}" -c$n $disks -p "$words"
		done
		;;
	el2)
		bare el2 el2 --nested -c1
		bare el2-e2h0 el2 --nested --e2h0 -c1
		;;
	exits)
		words='' more=''
		# A device that a reset of the machine resets, and what STSI has to say ("exits" in EBCDIC).
		[ "$ARCH" != s390x ] || { more="--rng --name exits" words=vm=0x85a789a3a2404040; }
		# shellcheck disable=SC2086
		bare exits-1 exits -c1 $more -p "$words"
		# shellcheck disable=SC2086
		bare exits-2 exits -c2 $more -p "$words"
		;;
	mmio)
		for chip in $chips; do
			# shellcheck disable=SC2086
			bare "mmio-$chip" mmio --irqchip $chip -c1 -d disk0 --rng --balloon $virtio_console -p "resets=30"
		done
		;;
	many)
		# 512 of them have their redistributors in two regions; only where there is a GICv3.
		[ "$FLAVOUR" = arm64-gicv2 ] || bare many many --irqchip gicv3 -c512
		;;
	gic)
		for chip in $chips; do
			bare "gic-$chip-1" gic --irqchip $chip -c1 --rng
			bare "gic-$chip-4" gic --irqchip $chip -c4 --rng
		done
		;;
	flash)
		# What one guest programs the next one finds, and the host.
		head -c 262144 /dev/zero | tr '\000' '\377' >flash0
		bare flash-first flash --flash flash0 -p magic=1195853639
		bare flash-next flash --flash flash0 -p "was=1195853639 magic=7"
		same flash-file "$(od -A n -t x4 -j 196608 -N 4 flash0 | tr -d ' ')" 00000007
		;;
	pl031)
		bare pl031 pl031
		;;
	css-* | vccw-commands)
		bare "$test" "$test" -c1 --rng --balloon -d disk0
		[ "$test" != css-reports ] || hotplug
		;;
	vccw-storm)
		bare storm-1 vccw-storm -c1 -d disk0 --rng -p requests=200
		bare storm-4 vccw-storm -c4 -d disk0 -d disk1 --rng -p requests=200
		;;
	vccw-input) input ;;
	ends-s390x)
		# The last CPU stops; diagnose 308, subcodes 3 and 4; Linux's last wait; another one; loops of program and of external interruptions.
		ended 1 0
		ended 2 3
		ended 3 3
		ended 4 0
		ended 5 5
		ended 6 5
		ended 7 5
		keys
		# A disabled wait says where.
		# shellcheck disable=SC2086
		guest 20 run $base -k /root/bare-css-sense
		same end-disabled-wait "$status" 5
		has end-disabled-wait-says 'Fatal: the guest is in a disabled wait on vCPU 0, PSW 0002000180000000 0*bad' "$errors"
		;;
	ends-arm64)
		# SYSTEM_OFF, SYSTEM_RESET, SYSTEM_RESET2 and its vendor's kind; pvpanic; no code and no syndrome, which are the guest's own exceptions.
		ended 1 0
		ended 2 3
		ended 3 3
		ended 4 3
		ended 5 4
		ended 6 4
		ended 7 4
		;;
	ends)
		# Shutdown, reboots, system failure, legacy shutdown; the finisher; pvpanic; no code; what KVM does not emulate.
		ended 1 0
		ended 2 3
		ended 3 3
		ended 4 4
		ended 5 0
		ended 6 0
		ended 7 3
		ended 8 4
		ended 9 4
		for n in 10 11; do
			case $FLAVOUR in
			# KVM of arch/riscv/kernel/linux-5.10 gives the guest its access fault.
			*-5.10*)
				guest 20 run $base -k /root/bare-exits -p "end=$n"
				same "end-$n" "$status" 4
				has "end-$n-says" '^FAIL trap: hart 0: cause [17] at'
				;;
			*)
				ended $n 1
				has "end-$n-says" "Fatal: vCPU 0 cannot run" "$errors"
				;;
			esac
		done
		;;
	esac
done
