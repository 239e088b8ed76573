# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Kernels built from Debian's source. tools/images.sh sources it; all of it lands in $lkvm_cache/kernels.
#
#   kernel_source VERSION   sets KERNEL_TREE: the source of linux-source-VERSION, unpacked once (less what no build here needs)
#   kernel_lost VERSION     whether Debian has that source no longer, and it is not here, either
#   kernel_patches WORD...  sets the array PATCHES: a WORD is a patch or a folder of them (in the order of its file `series`,
#                           or of their names)
#   kernel_series ARCH VERSION
#                           the same with what this tree has for that kernel: arch/ARCH/kernel/linux-VERSION, or nothing
#   kernel_build ARCH VERSION CONFIG [--config FRAGMENT]... [--source DIR] [--once] [PATCH]...
#                           sets KERNEL_BUILT: a folder with Image, config, modules/RELEASE (modules, and a list of what is built in,
#                           for modprobe), built from tinyconfig and tests/nested/image/CONFIG-ARCH.config and the fragments.
#                           Nothing is built when it was before; what is built again is only what differs from the last build
#                           of this configuration. With --source, the tree at DIR is built as it is (not cached, but still in steps).
#                           With --once, nothing is kept for a next build.
#   kernel_module ARCH VERSION NAME [PATCH]...
#                           sets KERNEL_MODULE: arch/ARCH/NAME/NAME.ko for Debian's own kernel (kernel_image ARCH) from this source
#   kernel_host_module ARCH VERSION NAME [PATCH]...
#                           sets KERNEL_BUILT: the host's kernel (kernel_build ARCH VERSION host, with this tree's series), and KERNEL_MODULE:
#                           arch/ARCH/NAME/NAME.ko for it, as it is when these patches follow the series
#   kernel_style VERSION PATCH...
#                           the kernel's own checkpatch.pl; fails when it finds something, other than what the file `remarks` beside the patches
#                           has, as lines of PATCH LEVEL:TYPE NUMBER
#
# A failure is one sentence, and the whole log is in $lkvm_cache/kernels/VERSION/ARCH-CONFIG.log.

declare -A _kernel_suites=([5.10]=bullseye-security [6.1]=bookworm [6.12]=trixie [7.2]=trixie-backports [7.3]=trixie-backports)

_kernel_tarball() { echo "$lkvm_cache/linux-source-$1/usr/src/linux-source-$1.tar.xz"; }

_source_unpack() {
	local version=$1 tree=$2
	say "unpacking linux-source-$version"
	# Of what is not built, only Makefiles and Kconfig, or the tree is twice as large; a patch to one of these files gets the
	# file from the archive.
	tar -xf "$(_kernel_tarball "$version")" -C "$tree" --strip-components=1 --no-same-owner --wildcards \
		--exclude='*/Documentation/*/*' --exclude='*/tools/testing/*' --exclude='*/arch/[!ars]*/*.[chS]' --exclude='*/arch/*/*.dts*' \
		--exclude='*/drivers/gpu/*.[ch]' --exclude='*/drivers/net/ethernet/*.[ch]' --exclude='*/drivers/net/wireless/*.[ch]' \
		--exclude='*/drivers/media/*.[ch]' --exclude='*/sound/*.[ch]' --exclude='*/drivers/staging/*.[ch]' ||
		die "linux-source-$version does not unpack in $tree; is the disk full?"
}

# Every architecture's index has the package; of those of trixie-backports, not all can be read.
_kernel_index() { [ "$1" = trixie-backports ] && echo arm64 || dpkg --print-architecture; }

kernel_source() {
	local version=$1 suite=${_kernel_suites[$1]:-} index
	[ -n "$suite" ] || die "no suite is known to have a linux-source-$version; there are: $(printf '%s\n' "${!_kernel_suites[@]}" | sort -V | tr '\n' ' ')"
	host_tools xz-utils
	index=$(_kernel_index "$suite")
	deb_unpack "$index" "$suite" "$lkvm_cache/linux-source-$version" "linux-source-$version" || exit 1
	KERNEL_TREE=$lkvm_cache/kernels/$version/source
	unless_stamped "$KERNEL_TREE" "tree 1 $(stat -c '%s %Y' "$(_kernel_tarball "$version")")" _source_unpack "$version" || exit 1
}

# Not when there is another reason why it does not come, such as no network.
kernel_lost() {
	local suite=${_kernel_suites[$1]:-} index
	[ -n "$suite" ] && ! (kernel_source "$1") >/dev/null 2>&1 || return 1
	index=$(_kernel_index "$suite")
	(deb_apt "$index" "$suite" true && ! deb_apt "$index" "$suite" apt-cache show "linux-source-$1") >/dev/null 2>&1
}

kernel_patches() {
	local word file n=0
	PATCHES=()
	for word; do
		if [ -f "$word/series" ]; then
			while read -r file _; do
				[[ -z $file || $file = \#* ]] || PATCHES+=("$word/$file")
			done <"$word/series"
		elif [ -d "$word" ]; then
			for file in "$word"/*.patch; do
				[ ! -f "$file" ] || PATCHES+=("$file")
			done
			[ ${#PATCHES[@]} -gt 0 ] || die "there is no *.patch in the folder $word"
		else
			PATCHES+=("$word")
		fi
	done
	for file in ${PATCHES+"${PATCHES[@]}"}; do
		[ -f "$file" ] && [ -r "$file" ] || die "there is no patch $file"
		PATCHES[n++]=$(realpath "$file")
	done
}

kernel_series() {
	arch_table "$1"
	PATCHES=()
	[ ! -d "$lkvm_repo/arch/$arch_name/kernel/linux-$2" ] || kernel_patches "$lkvm_repo/arch/$arch_name/kernel/linux-$2"
}

# --- a series and the source tree -----------------------------------------------------------------------------------------
#
# TREE/.lkvm/touched names each file that a series ever changed, TREE/.lkvm/orig has them as Debian made them. A series is
# applied to copies in TREE/.lkvm/new; only when all of it applies, what differs goes into the tree. So a tree is never left
# half patched for longer than until the next call, and make sees only what really changed.

# Prints "old NAME" and "new NAME" for each file of the patches, without the first part of its path.
_patch_names() {
	awk '
	function name(line) { sub(/^(---|\+\+\+|rename from|rename to|copy from) /, "", line); sub(/\t.*/, "", line); sub(/\r$/, "", line); return line }
	/^--- / { from = name($0); next }
	/^\+\+\+ / && from != "" {
		to = name($0)
		if (from != "/dev/null" && sub(/^[^\/]*\//, "", from)) print "old " from
		if (to != "/dev/null" && sub(/^[^\/]*\//, "", to)) print "new " to
	}
	/^(rename|copy) from / { print "old " name($0) }
	/^rename to / { print "new " name($0) }
	{ from = "" }
	' "$@" | sort -u
}

# A patch without its description: other words there make no other kernel.
_patch_code() { sed -n '/^\(diff --git\|--- [^ ]*\/\)/,$p' "$1"; }

# _patch_apply DIR PATCH LOG
_patch_apply() {
	local dir=$1 patch=$2 log=$3 where
	patch -p1 -F0 -f -E --no-backup-if-mismatch -r - -d "$dir" <"$patch" >"$log" 2>&1 && return 0
	where=$(awk '
		/^(patching|checking) file / { file = $3 }
		/^Hunk #[0-9]+ FAILED/ { sub(/^#/, "", $2); printf "hunk %s of %s does not fit (line %d)", $2, file, $5; exit }
		/^can.t find file to patch/ { sub(/.*input line /, ""); printf "the file that its line %d names is not in the source", $0; exit }
		/\*\*\*\* / { sub(/.*\*\*\*\* /, ""); printf "%s", $0; exit }
		/FAILED|Not deleting|would be |already exists/ { printf "%s", $0; exit }' "$log")
	die "$(basename "$patch") does not apply: ${where:-patch says no more than $(tail -n 1 "$log")}"
}

# _tree_series VERSION TREE PATCH... : the tree holds the source with exactly these patches.
_tree_series() {
	local version=$1 tree=$2 state=$2/.lkvm patch kind name lost=()
	shift 2
	mkdir -p "$state/orig"
	touch "$state/touched"
	rm -rf "$state/new" "$state/lost"
	mkdir "$state/new" "$state/lost"
	if [ $# -gt 0 ]; then
		_patch_names "$@" >"$state/names"
	else
		: >"$state/names"
	fi
	while read -r kind name; do
		[[ /$name/ != */../* && $name != /* ]] || die "a patch names the file $name, which is not in the tree"
		! grep -qxF -- "$name" "$state/touched" || continue
		[ "$kind" = new ] || [ -e "$tree/$name" ] || lost+=("$name")
	done <"$state/names"
	if [ ${#lost[@]} -gt 0 ]; then
		# Not unpacked at first, or made by an earlier patch of the series: tar says which are not there, and that is well.
		name=$(basename "$(_kernel_tarball "$version")" .tar.xz)
		printf "$name/%s\n" "${lost[@]}" | tar -xf "$(_kernel_tarball "$version")" -C "$state/lost" --strip-components=1 \
			--no-same-owner -T - 2>/dev/null || true
	fi
	while read -r _ name; do
		! grep -qxF -- "$name" "$state/touched" || continue
		for patch in "$tree/$name" "$state/lost/$name"; do
			if [ -f "$patch" ]; then
				must mkdir -p "$(dirname "$state/orig/$name")"
				must cp --preserve=mode "$patch" "$state/orig/$name.new"
				must mv "$state/orig/$name.new" "$state/orig/$name"
			fi
		done
		printf '%s\n' "$name" >>"$state/touched"
	done <"$state/names"

	must cp -r --preserve=mode "$state/orig/." "$state/new"
	for patch; do
		_patch_apply "$state/new" "$patch" "$state/patch.log"
	done
	rm -f "$state/series"
	while read -r name; do
		if [ ! -f "$state/new/$name" ]; then
			rm -f "${tree:?}/$name"
		elif ! cmp -s "$state/new/$name" "$tree/$name"; then
			must mkdir -p "$(dirname "$tree/$name")"
			must cp --preserve=mode "$state/new/$name" "$tree/$name.lkvm-new"
			must mv "$tree/$name.lkvm-new" "$tree/$name"
		fi
	done <"$state/touched"
	_series_id "$@" >"$state/series"
}

_series_id() { cat /dev/null "$@" | sha256sum; }

# _tree_hold VERSION TREE PATCH... : the tree has this series, and keeps it while this shell lives. Builds of the same series go
# side by side; another series waits for them.
_tree_hold() {
	local version=$1 tree=$2 fd lock=$lkvm_cache/locks/kernel-tree-$1
	shift 2
	exec {fd}>"$lock"
	while :; do
		flock -n -s "$fd" || { say "waiting for a build with other patches"; flock -s "$fd"; }
		[ "$(cat "$tree/.lkvm/series" 2>/dev/null)" != "$(_series_id "$@")" ] || return 0
		flock "$fd"
		_tree_series "$version" "$tree" "$@"
	done
}

# --- building -------------------------------------------------------------------------------------------------------------

# How far a build is, as long as the shell $2 lives.
_kernel_progress() {
	local log=$1 shell=$2 started=$SECONDS
	while sleep 1 && kill -0 "$shell" 2>/dev/null; do
		printf '\r%s: %d s, %d files ' "$lkvm_tool" $((SECONDS - started)) "$(grep -cE '^  (CC|AS|LD|HOSTCC)' "$log" || true)" >&2
	done
}

# _kernel_make LOG WHAT ARGUMENT... : make, with a count of files when a person looks on.
_kernel_make() {
	local log=$1 what=$2 pid='' status=0 started=$SECONDS
	shift 2
	say "building $what"
	if [ -t 2 ]; then
		_kernel_progress "$log" "$BASHPID" & pid=$!
	fi
	nice -n "${LKVM_NICE:-15}" make "$@" >>"$log" 2>&1 </dev/null || status=$?
	if [ -n "$pid" ]; then
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
		printf '\r\033[K' >&2
	fi
	[ $status = 0 ] || {
		{ grep -E 'error:|undefined reference' "$log" || grep -F '***' "$log" || tail -n 12 "$log"; } | head -n 12 >&2
		die "$what does not build; see above and $log"
	}
	say "built $what in $((SECONDS - started)) s"
}

# _kernel_config TREE OUT BASE FRAGMENT... : OUT/.config, made anew when what it is made of is other than last time
_kernel_config() {
	local tree=$1 out=$2 base=$3 file line missing key
	shift 3
	key=$(cat "$base" "$@" <(cd "$tree" && grep -s Kconfig .lkvm/touched | xargs -r sha256sum 2>&1) | sha256sum)
	[ ! -d "$tree/.lkvm" ] || [ ! -f "$out/.config" ] || [ "$(cat "$out/.lkvm-config" 2>/dev/null)" != "$key" ] || return 0
	rm -f "$out/.lkvm-config" "$out/.lkvm-refused"
	"${make[@]}" tinyconfig && cat "$base" "$@" >>"$out/.config" && "${make[@]}" olddefconfig || return 1
	for file in "$base" "$@"; do
		while IFS= read -r line; do
			missing=''
			case $line in
			CONFIG_*=n) ! grep -q "^${line%n}" "$out/.config" || missing=1 ;;
			CONFIG_*=*) grep -qxF -- "$line" "$out/.config" || missing=1 ;;
			esac
			[ -n "$missing" ] || continue
			echo "config: $line of $file is not what came out"
			[ "$file" = "$base" ] || echo "$line" >>"$out/.lkvm-refused"
		done <"$file"
	done
	[ -s "$out/.lkvm-refused" ] || echo "$key" >"$out/.lkvm-config"
}

_kernel_build_in() {
	local out=$1 arch=$2 version=$3 config=$4 source=$5 nfragments=$6 tree log make fragments tmp name release modules=''
	shift 6
	fragments=("${@:1:nfragments}")
	shift "$nfragments"
	tmp=${*: -1}
	set -- "${@:1:$#-1}"
	name=$(basename "$out")
	tree=${source:-$lkvm_cache/kernels/$version/source}
	log=$out.log
	mkdir -p "$out"
	: >"$log"
	[ -n "$source" ] || _tree_hold "$version" "$tree" "$@"
	make=(make -C "$tree" "O=$out" "ARCH=$arch_linux" "CROSS_COMPILE=$arch_triplet-" KBUILD_BUILD_TIMESTAMP=1970-01-01
		KBUILD_BUILD_USER=lkvm KBUILD_BUILD_HOST=lkvm "-j$(nproc)" "LOCALVERSION=-$(basename "${tmp%.new.*}")")
	_kernel_config "$tree" "$out" "$_kernel_configs/$config-$arch.config" ${fragments+"${fragments[@]}"} >>"$log" 2>&1 || {
		tail -n 12 "$log" >&2
		die "$name cannot be configured; see above and $log"
	}
	[ ! -s "$out/.lkvm-refused" ] || die "$(head -n 1 "$out/.lkvm-refused") does not come out: there is no such option, or something it depends on is not set"
	! grep -q '^CONFIG_MODULES=y' "$out/.config" || modules=modules
	_kernel_make "$log" "Linux $version for $name" "${make[@]:1}" "$arch_image" $modules
	release=$(cat "$out/include/config/kernel.release")
	mkdir -p "$tmp/modules/$release"
	cp "$out/arch/$arch_linux/boot/$arch_image" "$tmp/Image" && cp "$out/.config" "$tmp/config" && cp "$log" "$tmp/log" &&
		cp "$out"/modules.builtin* "$tmp/modules/$release/" && touch "$tmp/modules/$release/modules."{dep,alias,symbols} ||
		die "the kernel cannot be copied to $tmp; is the disk full?"
	[ -z "$modules" ] || _kernel_modules "$out" "$tmp" "$release" >>"$log" 2>&1 || { tail -n 12 "$log" >&2; die "the modules of $name cannot be installed; see above and $log"; }
}

# _kernel_modules OUT TMP RELEASE : TMP/modules/RELEASE, as modprobe wants it.
_kernel_modules() {
	local out=$1 tmp=$2 release=$3
	"${make[@]}" modules_install "INSTALL_MOD_PATH=$tmp/installed" INSTALL_MOD_STRIP=1 && rm -f "$tmp/installed/lib/modules/$release"/{build,source,modules.*.bin} &&
		cp -r "$tmp/installed/lib/modules/$release/." "$tmp/modules/$release" && rm -r "$tmp/installed"
}

_kernel_build_locked() {
	host_tools flex bison bc make gcc libc6-dev "$arch_gcc" xz-utils patch kmod
	[ -n "$5" ] || kernel_source "$3"
	with_lock "kernel-build-$3-$(basename "$1")" _kernel_build_in "$@"
}

# The build tree of that name goes, and the source when no other build needs it.
_kernel_forget() {
	local version=$1 name=$2 folder=$lkvm_cache/kernels/$1 fd
	rm -rf "${folder:?}/$name"
	exec {fd}>"$lkvm_cache/locks/kernel-tree-$version"
	if flock -n "$fd" && [ -z "$(find "$folder" -mindepth 1 -maxdepth 1 -type d ! -name source ! -name built)" ]; then
		rm -rf "$folder/source" "$lkvm_cache/linux-source-$version"
	fi
	exec {fd}>&-
}

_kernel_configs=$lkvm_repo/tests/nested/image

kernel_build() {
	local arch=$1 version=$2 config=$3 source='' once='' fragments=() key name dest f
	shift 3
	while [ $# -gt 0 ]; do
		case $1 in
		--config) fragments+=("$(realpath "$2")"); shift 2 ;;
		--source) source=$(realpath "$2"); shift 2 ;;
		--once) once=1; shift ;;
		*) break ;;
		esac
	done
	arch_table "$arch"
	f=$_kernel_configs/$config-$arch.config
	[ -f "$f" ] || die "there is no configuration $config for $arch"
	key=$({ cat "$f" ${fragments+"${fragments[@]}"}; for f; do _patch_code "$f"; done; } | sha256sum | cut -c1-12)
	name=$arch-$config
	[ ${#fragments[@]} = 0 ] || name+=-$(cat "${fragments[@]}" | sha256sum | cut -c1-6)
	dest=$lkvm_cache/kernels/$version/built/$arch-$config-$key
	if [ -n "$source" ]; then
		name+=-of-$(printf '%s' "$source" | cksum | cut -d' ' -f1)
		dest=$lkvm_cache/kernels/$version/built/$name
		key="$key $(date +%s.%N)"
	fi
	if ! _stamped "$dest" "$key"; then
		unless_stamped "$dest" "$key" _kernel_build_locked "$lkvm_cache/kernels/$version/$name" "$arch" "$version" "$config" "$source" ${#fragments[@]} \
			${fragments+"${fragments[@]}"} "$@" || exit 1
		[ -z "$once" ] || _kernel_forget "$version" "$name"
	fi
	# shellcheck disable=SC2034
	KERNEL_BUILT=$dest
}

# --- a module of Debian's kernel --------------------------------------------------------------------------------------------

# What differs is copied; objects stay.
_copy_sources() {
	local from=$1 to=$2 f
	mkdir -p "$to"
	while IFS= read -r f; do
		cmp -s "$from/$f" "$to/$f" || { mkdir -p "$to/$(dirname "$f")" && cp "$from/$f" "$to/$f"; } || return 1
	done < <(cd "$from" && find . -type f)
}

# A symbol that says what the compiler can: ours is another than Debian's.
_probe='^(#define |# )?CONFIG_(AS|CC|LD|GCC|CLANG|RUSTC|RUST_IS|PAHOLE|TOOLCHAIN|HAVE_SHADOW_CALL|GCC[0-9]*|BINDGEN|LLD)_'

# _module_setup OUT HEADERS: the build folder of Debian's kernel, as far as a module needs it.
_module_setup() {
	local out=$1 headers=$2 f
	cp "$headers/.config" "$out/.config"
	"${make[@]}" olddefconfig && "${make[@]}" modules_prepare || return 1
	for f in include/config/auto.conf include/generated/autoconf.h; do
		{ grep -vE "$_probe" "$headers/$f"; grep -E "$_probe" "$out/$f"; } >"$out/lkvm-merged" && mv "$out/lkvm-merged" "$out/$f" || return 1
	done
	cp "$headers/Module.symvers" "$out/" && cp "$headers/include/config/kernel.release" "$out/include/config/" &&
		printf '#define UTS_RELEASE "%s"\n' "$(cat "$headers/include/config/kernel.release")" >"$out/include/generated/utsrelease.h"
}

_module_build() {
	local arch=$1 version=$2 name=$3 release=$4 tmp=${*: -1} headers out log tree make f
	shift 4
	set -- "${@:1:$#-1}"
	host_tools flex bison bc make gcc libc6-dev "$arch_gcc" xz-utils patch libelf-dev libssl-dev
	kernel_source "$version"
	tree=$KERNEL_TREE
	f=$(sed -n 's/^VERSION = //p; s/^PATCHLEVEL = /./p; s/^SUBLEVEL = /./p' "$tree/Makefile" | tr -d '\n')
	[[ $release = "$f"+* ]] || die "Debian's kernel is $release, but linux-source-$version is $f: take both from the same day"
	deb_unpack "$arch" trixie "$lkvm_cache/linux-headers-$arch" "linux-headers-$release"
	headers=$lkvm_cache/linux-headers-$arch/usr/src/linux-headers-$release
	out=$lkvm_cache/kernels/$version/$arch-$name-$release
	log=$out.log
	mkdir -p "$out/module/virt" "$out/module/arch/$arch_linux"
	: >"$log"
	make=(make -C "$tree" "O=$out" "ARCH=$arch_linux" "CROSS_COMPILE=$arch_triplet-" KBUILD_BUILD_TIMESTAMP=1970-01-01
		KBUILD_BUILD_USER=lkvm KBUILD_BUILD_HOST=lkvm "-j$(nproc)")
	_tree_hold "$version" "$tree" "$@"
	if [ ! -f "$out/.lkvm-ready" ]; then
		say "preparing to build modules for $release"
		_module_setup "$out" "$headers" >>"$log" 2>&1 || {
			tail -n 12 "$log" >&2
			die "the build folder for modules of $release cannot be made; see above and $log"
		}
		: >"$out/.lkvm-ready"
	fi
	# Built in a copy, since objects land beside their sources, which are not theirs alone.
	for f in "virt/$name" "arch/$arch_linux/$name"; do
		[ ! -d "$tree/$f" ] || _copy_sources "$tree/$f" "$out/module/$f"
	done
	_kernel_make "$log" "$name.ko for $release" "${make[@]:1}" "M=$out/module/arch/$arch_linux/$name" modules
	"$arch_triplet-strip" -g -o "$tmp/$name.ko" "$out/module/arch/$arch_linux/$name/$name.ko" || die "there is no $name.ko; see $log"
}

kernel_module() {
	local arch=$1 version=$2 name=$3 key dest
	shift 3
	kernel_image "$arch"
	key=$(for f; do _patch_code "$f"; done | sha256sum | cut -c1-12)
	dest=$lkvm_cache/kernels/$version/built/$arch-$name-$KERNEL_VERSION-$key
	unless_stamped "$dest" "$key" with_lock "kernel-build-$version-$arch-$name" _module_build "$arch" "$version" "$name" "$KERNEL_VERSION" "$@" || exit 1
	# shellcheck disable=SC2034
	KERNEL_MODULE=$dest/$name.ko
}

# _host_module_build ARCH VERSION NAME RELEASE PATCH... TMP : in the folder where the host's kernel was built.
_host_module_build() {
	local arch=$1 version=$2 name=$3 release=$4 tree=$lkvm_cache/kernels/$2/source out=$lkvm_cache/kernels/$2/$1-host tmp=${*: -1} log make
	shift 4
	log=$out-$name.log
	: >"$log"
	_tree_hold "$version" "$tree" "${@:1:$#-1}"
	make=(make -C "$tree" "O=$out" "ARCH=$arch_linux" "CROSS_COMPILE=$arch_triplet-" KBUILD_BUILD_TIMESTAMP=1970-01-01
		KBUILD_BUILD_USER=lkvm KBUILD_BUILD_HOST=lkvm "-j$(nproc)" "LOCALVERSION=-$release")
	_kernel_make "$log" "$name.ko" "${make[@]:1}" "arch/$arch_linux/$name/$name.ko"
	"$arch_triplet-strip" -g -o "$tmp/$name.ko" "$out/arch/$arch_linux/$name/$name.ko" || die "there is no $name.ko; see $log"
}

kernel_host_module() {
	local arch=$1 version=$2 name=$3 key dest
	shift 3
	kernel_series "$arch" "$version"
	kernel_build "$arch" "$version" host ${PATCHES+"${PATCHES[@]}"}
	if [ $# = 0 ]; then
		KERNEL_MODULE=$(find "$KERNEL_BUILT/modules" -name "$name.ko")
		[ -n "$KERNEL_MODULE" ] || die "there is no $name.ko in $KERNEL_BUILT: it is no module there"
		return
	fi
	key=$(basename "$KERNEL_BUILT")-$(for f; do _patch_code "$f"; done | sha256sum | cut -c1-12)
	dest=$lkvm_cache/kernels/$version/built/$name-of-$key
	unless_stamped "$dest" "$key" with_lock "kernel-build-$version-$arch-host" _host_module_build "$arch" "$version" "$name" "$(basename "$KERNEL_BUILT")" \
		${PATCHES+"${PATCHES[@]}"} "$@" || exit 1
	# shellcheck disable=SC2034
	KERNEL_MODULE=$dest/$name.ko
}

kernel_style() {
	local patch log remarks said known failed=0
	kernel_source "$1"
	shift
	host_tools perl patch
	log=$lkvm_cache/kernels/style.log
	for patch; do
		# Debian's source has no history that could tell whether the commit of a Fixes: line is known.
		remarks=$(dirname "$patch")/remarks
		[ -f "$remarks" ] || remarks=/dev/null
		said='' known=$(awk -v patch="$(basename "$patch")" '$1 == patch { print $2, $3 }' "$remarks" | LC_ALL=C sort)
		(cd "$KERNEL_TREE" && perl scripts/checkpatch.pl --no-tree --strict --show-types --terse --no-summary --ignore UNKNOWN_COMMIT_ID "$patch") >"$log" 2>&1 ||
			said=$(sed -n 's/^[^:]*:[0-9]*: \([A-Z]*:[A-Z0-9_]*\):.*/\1/p' "$log" | LC_ALL=C sort | uniq -c | awk '{ print $2, $1 } END { if (!NR) print "that it failed" }')
		if [ "$said" = "$known" ]; then
			say "$(basename "$patch"): nothing that checkpatch.pl would say${known:+, but what is known}"
		else
			failed=1
			[ -z "$known" ] || say "$(basename "$patch"): known is ${known//$'\n'/, }, and it says"
			cat "$log" >&2
		fi
	done
	return $failed
}
