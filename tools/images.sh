# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What emulated hosts and their guests boot. Sourced after tools/lib.sh; all of it lands in $lkvm_cache.
#
#   arch_table ARCH               sets the arch_* variables: all that differs between architectures, here and in what uses this
#   kernel_image ARCH [VERSION]   sets KERNEL_IMAGE, KERNEL_MODULES (folder), KERNEL_VERSION: Debian's kernel
#   host_image ARCH [VERSION]     sets HOST_KERNEL, HOST_INITRD, HOST_VERSION
#   guest_image ARCH [VERSION]    sets GUEST_KERNEL, GUEST_INITRD
#   emulator ARCH                 gets the emulator: sets the array QEMU, its command, or for s390x HERCULES, the folder with its programs
#   qemu_system ARCH              sets the array QEMU: the emulator's command
#   small_kernel ARCH             sets SMALL_KERNEL: a guest kernel that boots in half the time and has every driver built in
#                                 (empty with LKVM_SMALL_KERNEL=no in the environment)
#   host_kernel ARCH VERSION [FRAGMENT]...
#                                 sets BUILT_KERNEL: a small kernel that is a KVM host, of Debian's linux-source-VERSION, with what this tree
#                                 has for it (kernel_series; or HOST_SERIES), and with more configuration: a file, or NAME for tests/nested/image/NAME.config
#   build_lkvm ARCH               sets LKVM: the static executable built from this tree, and LKVM_BUILD, its folder
# VERSION is 6.12 (the default, of trixie) or another that trixie-backports has, as 7.3; on s390x it is 6.1, of bookworm, alone.

. "$lkvm_repo/tools/kernel-source.sh"

_guest_modules=virtio_blk,virtio_net,virtio_balloon,virtio_rng,9p,9pnet_virtio

# arch_name       the name of folders in this tree
# arch_triplet    of its compiler
# arch_gcc        the compiler's package
# arch_elf        its number in an ELF header
# arch_image      the kernel that boots, in its boot folder
# arch_kernel, arch_suite
#                 the version of Debian's kernel, and where it and all else for the emulated machine comes from
# arch_flavour    how Debian calls that kernel
# arch_linux      that architecture's name in the kernel's source
# arch_qemu, arch_qemu_package
#                 the emulator; none: Hercules
# arch_modules    of the guest's image: a driver for each device that lkvm has
# arch_machine    irqchip -> QEMU's machine; the first of arch_irqchips is the default
# arch_cpus       the emulated CPU: the default, and short names for others
# arch_mode       what `nested-host --mode` knows -> words for the host kernel's command line
# arch_console    the host's serial port
# arch_kvm        the module to load for KVM, if it is one
# arch_host_modules
#                 more for the host's image: of the disk by which Hercules' host says how it went
# arch_serial     the guest's serial port: its address
arch_table() {
	declare -gA arch_machine=() arch_cpus=() arch_mode=()
	arch_host_modules='' arch_flavour=$1
	case $1 in
	riscv64)
		arch_name=riscv arch_triplet=riscv64-linux-gnu arch_gcc=gcc-riscv64-linux-gnu arch_elf=243 arch_image=Image
		arch_linux=riscv arch_kernel=6.12 arch_suite=trixie arch_modules=virtio_mmio,$_guest_modules
		arch_qemu=qemu-system-riscv64 arch_qemu_package=qemu-system-riscv
		arch_irqchips='plic aia'
		arch_machine=([plic]=virt [aia]=virt,aia=aplic-imsic,aia-guests=4)
		arch_cpus=([default]=rv64 [noaia]=max,ssaia=off,smaia=off)
		arch_console=ttyS0 arch_kvm=kvm arch_serial=0x3f8
		;;
	arm64)
		arch_name=arm64 arch_triplet=aarch64-linux-gnu arch_gcc=gcc-aarch64-linux-gnu arch_elf=183 arch_image=Image
		arch_linux=arm64 arch_kernel=6.12 arch_suite=trixie arch_modules=virtio_mmio,$_guest_modules
		arch_qemu=qemu-system-aarch64 arch_qemu_package=qemu-system-arm
		arch_irqchips='gic3 gic2'
		arch_machine=([gic3]=virt,virtualization=on,gic-version=3 [gic2]=virt,virtualization=on,gic-version=2)
		# The architected PAC algorithm takes TCG half of its time.
		arch_cpus=([default]=max,pauth-impdef=on [max]=max,pauth-impdef=on)
		arch_mode=([vhe]='' [nvhe]=kvm-arm.mode=nvhe [hvhe]=arm64_sw.hvhe=1 [protected]=kvm-arm.mode=protected [nested]=kvm-arm.mode=nested)
		arch_console=ttyAMA0 arch_kvm='' arch_serial=0x1000000
		;;
	armhf)
		# Guests alone.
		arch_kernel=6.12 arch_suite=trixie arch_flavour=armmp-lpae arch_modules=virtio_mmio,$_guest_modules
		arch_irqchips=''
		;;
	s390x)
		arch_name=s390x arch_triplet=s390x-linux-gnu arch_gcc=gcc-s390x-linux-gnu arch_elf=22 arch_image=bzImage
		# What is newer wants instructions that Hercules does not have.
		arch_linux=s390 arch_kernel=6.1 arch_suite=bookworm arch_modules=$_guest_modules
		arch_qemu='' arch_qemu_package=hercules arch_irqchips=flic
		arch_machine=([flic]=hercules)
		arch_console=ttyS0 arch_kvm=kvm arch_serial='' arch_host_modules=dasd_fba_mod
		;;
	*) die "there is no emulated host for $1; riscv64, arm64 and s390x there are" ;;
	esac
}

# Modules in the host's image: kvm, its shared folder, and what network and block tests use.
HOST_MODULES=kvm,9p,9pnet_virtio,tun,tap,vhost_net,virtio_blk,virtio_net,bridge

_images=$lkvm_repo/tests/nested
# Of each tree there may be several; what is made from a tree's files is its own.
_tree=$(printf '%s' "$lkvm_repo" | cksum | cut -d' ' -f1)

# _newer OUT INPUT... : is OUT there and at least as new as each INPUT?
_newer() {
	local out=$1 input
	shift
	[ -f "$out" ] || return 1
	for input; do
		[ ! "$input" -nt "$out" ] || return 1
	done
}

_kernel_name() {
	local arch=$1 version=$2 suite=$3 image
	# Up to bookworm 6.1.0-50, from then on 6.12.107+deb13.
	image=$(deb_apt "$arch" "$suite" apt-cache search --names-only "^linux-image-${version//./\\.}[.0-9]*(\\+deb|-)[0-9]+-$arch_flavour\$" |
		cut -d' ' -f1 | sort -V | tail -n 1)
	[ -n "$image" ] || die "$suite has no linux-image-$version for $arch; check the machine's apt sources, or set LKVM_MIRROR"
	# From 6.19 on, the image, the modules and their lists are packages of their own.
	echo "$image" "$(deb_apt "$arch" "$suite" apt-cache depends --no-recommends "$image" |
		sed -n 's/.*Depends: \(linux-\(base\|binary\|modules\)-[0-9][^ ]*\).*/\1/p' | tr '\n' ' ')"
}

kernel_image() {
	local arch=$1 version suite root packages
	arch_table "$arch"
	version=${2:-$arch_kernel} suite=$arch_suite
	root=$lkvm_cache/kernel-$arch
	if [ "$version" != "$arch_kernel" ]; then
		suite=trixie-backports
		root+=-$version
	fi
	if [ ! -s "$root.name" ]; then
		packages=$(_kernel_name "$arch" "$version" "$suite") || exit 1
		echo "$packages" >"$root.name"
	fi
	read -r -a packages <"$root.name"
	KERNEL_VERSION=${packages[0]#linux-image-}
	deb_unpack "$arch" "$suite" "$root" "${packages[@]}" || exit 1
	KERNEL_MODULES=$(echo "$root"/*/lib/modules/"$KERNEL_VERSION")
	[ -d "$KERNEL_MODULES" ] || KERNEL_MODULES=$root/lib/modules/$KERNEL_VERSION
	KERNEL_IMAGE=$(echo "$root"/boot/vmlinu[xz]-"$KERNEL_VERSION")
	[ -f "$KERNEL_IMAGE" ] || KERNEL_IMAGE=$KERNEL_MODULES/vmlinuz
}

_busybox() {
	deb_unpack "$1" "$arch_suite" "$lkvm_cache/busybox-$1" busybox-static || exit 1
	BUSYBOX=$lkvm_cache/busybox-$1/usr/bin/busybox
	[ -f "$BUSYBOX" ] || BUSYBOX=$lkvm_cache/busybox-$1/bin/busybox
}

# _initrd OUT INIT MODULES ITEM... : a cpio archive with busybox, some modules and an init.
_initrd() {
	local out=$1 init=$2 modules=$3
	shift 3
	_newer "$out" "$init" "$BUSYBOX" "$KERNEL_IMAGE" "$lkvm_repo/tools/mkcpio" "${BASH_SOURCE[0]}" && return 0
	mkdir -p "$(dirname "$out")"
	with_lock "$_tree-$(basename "$out")" "$lkvm_repo/tools/mkcpio" "$out" "file:/init:$init:755" "file:/bin/busybox:$BUSYBOX:755" \
		"dev:/dev/console:c:5:1" "dev:/dev/null:c:1:3" "modules:$KERNEL_MODULES:$modules" "$@" ||
		die "$out could not be made; see above"
}

# _relay ARCH OUT : what speaks for a host that has no more than a disk.
_relay() {
	local cc
	cc=$("$lkvm_repo/tools/sysroot" "$1") || exit 1
	cc=$(sed -n "s/^c = '\(.*\)'/\1/p" "$cc")
	mkdir -p "$(dirname "$2")"
	"$cc" -Os -s -Wall -Wextra -Werror "$_images/image/relay.c" -o "$2.new" -lz && mv "$2.new" "$2" || die "tests/nested/image/relay.c does not build for $1; see above"
}

host_image() {
	local relay=''
	host_tools python3
	kernel_image "$@"
	_busybox "$1"
	HOST_KERNEL=$KERNEL_IMAGE
	HOST_VERSION=$KERNEL_VERSION
	HOST_INITRD=$lkvm_cache/images/$_tree/host-$1${2:+-$2}.cpio
	if [ -z "$arch_qemu" ]; then
		relay=$lkvm_cache/images/$_tree/relay-$1
		_newer "$relay" "$_images/image/relay.c" || with_lock "$_tree-relay-$1" _relay "$1" "$relay" || exit 1
		[ ! "$relay" -nt "$HOST_INITRD" ] || rm -f "$HOST_INITRD"
	fi
	_initrd "$HOST_INITRD" "$_images/image/host-init" "$HOST_MODULES${arch_host_modules:+,$arch_host_modules}" ${relay:+"file:/bin/relay:$relay:755"}
}

guest_image() {
	local base tests name=guest-$1${2:+-$2}
	host_tools python3
	kernel_image "$@"
	_busybox "$1"
	GUEST_KERNEL=$KERNEL_IMAGE
	GUEST_INITRD=$lkvm_cache/images/$_tree/$name.cpio
	base=$lkvm_cache/images/$_tree/$name-base.cpio
	tests=$lkvm_cache/images/$_tree/$name-tests.cpio
	_initrd "$base" "$_images/image/guest-init" "$arch_modules"
	if ! _newer "$GUEST_INITRD" "$base" "$_images/guest" "$_images/guest"/*; then
		"$lkvm_repo/tools/mkcpio" "$tests" "tree:/tests:$_images/guest" || die "$tests could not be made; see above"
		cat "$base" "$tests" >"$GUEST_INITRD.new" && mv "$GUEST_INITRD.new" "$GUEST_INITRD"
	fi
}

emulator() {
	arch_table "$1"
	if [ -n "$arch_qemu" ]; then
		qemu_system "$1"
		return
	fi
	host_tools python3
	# shellcheck disable=SC2034
	HERCULES=$lkvm_cache/hercules
	deb_unpack_deps "$(dpkg --print-architecture)" bookworm "$HERCULES" "$arch_qemu_package" || exit 1
}

qemu_system() {
	local root=$lkvm_cache/qemu-$1 libs loader
	arch_table "$1"
	# 7.2, which bookworm itself has, is too old for a nested host.
	deb_unpack_deps "$(dpkg --print-architecture)" bookworm-backports,bookworm "$root" "$arch_qemu_package" qemu-system-data || exit 1
	loader=$(find "$root/lib64" "$root/lib" -maxdepth 1 -name 'ld-linux*' 2>/dev/null | head -n 1)
	libs=$(printf '%s:' "$root"/lib/*-linux-gnu "$root"/usr/lib/*-linux-gnu)
	# shellcheck disable=SC2034
	QEMU=("$loader" --library-path "${libs%:}" "$root/usr/bin/$arch_qemu" -L "$root/usr/share/qemu")
}

_build_lkvm() {
	local cross=$1 log=$LKVM_BUILD.log
	if [ ! -f "$LKVM_BUILD/build.ninja" ]; then
		meson setup --buildtype=minsize --cross-file "$cross" "$LKVM_BUILD" "$lkvm_repo" >"$log" 2>&1 || {
			tail -n 20 "$log" >&2
			die "meson could not set up the build; see above and $log"
		}
	fi
	ninja -C "$LKVM_BUILD" >"$log" 2>&1 || {
		tail -n 40 "$log" >&2
		die "lkvm does not build; see above and $log"
	}
}

build_lkvm() {
	local cross
	cross=$("$lkvm_repo/tools/sysroot" "$1") || exit 1
	LKVM_BUILD=$lkvm_cache/build/$1-$_tree
	LKVM=$LKVM_BUILD/src/cli/lkvm
	mkdir -p "$lkvm_cache/build"
	# Two at once would spoil each other's build files.
	with_lock "build-$1-$_tree" _build_lkvm "$cross" || exit 1
	[ -x "$LKVM" ] || die "the build for $1 made no $LKVM"
}

small_kernel() {
	SMALL_KERNEL=''
	[ "${LKVM_SMALL_KERNEL:-yes}" != no ] || return 0
	if [ "$1" = s390x ]; then
		# One build is the host's kernel, too, and has the patches, which without their parameter change nothing.
		PATCHES=()
		[ ! -d "$lkvm_repo/arch/s390x/kernel" ] || kernel_patches "$lkvm_repo/arch/s390x/kernel"
		kernel_build s390x 6.1 host --once ${PATCHES+"${PATCHES[@]}"}
	else
		kernel_build "$1" 6.12 small --once
	fi
	SMALL_KERNEL=$KERNEL_BUILT/Image
}

host_kernel() {
	local arch=$1 version=$2 fragment options=()
	shift 2
	for fragment; do
		[[ $fragment = */* ]] || fragment=$_images/image/$fragment.config
		options+=(--config "$fragment")
	done
	if [ -n "${HOST_SERIES:-}" ]; then kernel_patches "$HOST_SERIES"; else kernel_series "$arch" "$version"; fi
	kernel_build "$arch" "$version" host ${options+"${options[@]}"} ${PATCHES+"${PATCHES[@]}"}
	# shellcheck disable=SC2034
	BUILT_KERNEL=$KERNEL_BUILT/Image
}
