# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Kernels built from Debian's source. Sourced after tools/lib.sh; all of it lands in $lkvm_cache/kernels.
#
#   kernel_source VERSION   sets KERNEL_TREE: the source of linux-source-VERSION, unpacked once (less what no build here needs)
#   kernel_patches WORD...  sets the array PATCHES: a WORD is a patch or a folder of them (in the order of its file `series`,
#                           or of their names)
#   kernel_build ARCH VERSION CONFIG [--config FRAGMENT]... [--source DIR] [PATCH]...
#                           sets KERNEL_BUILT: a folder with Image, config, modules/RELEASE (a list of what is built in, for
#                           modprobe), built from tinyconfig and tests/nested/image/CONFIG-ARCH.config and the fragments.
#                           Nothing is built when it was before; what is built again is only what differs from the last build
#                           of this CONFIG. With --source, the tree at DIR is built as it is (not cached, but still in steps).
#   kernel_style VERSION PATCH...
#                           the kernel's own checkpatch.pl; fails when it finds something
#
# A failure is one sentence, and the whole log is in $lkvm_cache/kernels/VERSION/ARCH-CONFIG.log.

declare -A _kernel_suites=([5.10]=bullseye-security [6.1]=bookworm [6.12]=trixie [7.2]=trixie-backports [7.3]=trixie-backports)
# The kernel's word for an architecture, the compiler's, and the image that boots.
declare -A _kernel_arch=([arm64]=arm64 [riscv64]=riscv [s390x]=s390)
declare -A _kernel_cc=([arm64]=aarch64-linux-gnu [riscv64]=riscv64-linux-gnu [s390x]=s390x-linux-gnu)
declare -A _kernel_image=([arm64]=Image [riscv64]=Image [s390x]=bzImage)

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

kernel_source() {
	local version=$1 suite=${_kernel_suites[$1]:-}
	[ -n "$suite" ] || die "no suite is known to have a linux-source-$version; there are: $(printf '%s\n' "${!_kernel_suites[@]}" | sort -V | tr '\n' ' ')"
	host_tools xz-utils
	deb_unpack "$(dpkg --print-architecture)" "$suite" "$lkvm_cache/linux-source-$version" "linux-source-$version" || exit 1
	KERNEL_TREE=$lkvm_cache/kernels/$version/source
	unless_stamped "$KERNEL_TREE" "tree 1 $(stat -c '%s %Y' "$(_kernel_tarball "$version")")" _source_unpack "$version" || exit 1
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
		grep -E '(error|Error|undefined reference|\*\*\*)' "$log" | head -n 12 >&2 || tail -n 12 "$log" >&2
		die "$what does not build; see above and $log"
	}
	say "built $what in $((SECONDS - started)) s"
}

# _kernel_config TREE OUT BASE FRAGMENT... : OUT/.config
_kernel_config() {
	local tree=$1 out=$2 base=$3 file line missing
	shift 3
	"${make[@]}" tinyconfig && cat "$base" "$@" >>"$out/.config" && "${make[@]}" olddefconfig || return 1
	for file in "$base" "$@"; do
		while IFS= read -r line; do
			case $line in
			CONFIG_*=n) ! grep -q "^${line%n}" "$out/.config" || missing=1 ;;
			CONFIG_*=*) grep -qxF -- "$line" "$out/.config" || missing=1 ;;
			esac
			[ -n "${missing:-}" ] || continue
			missing=''
			echo "config: $line of $file is not what came out"
			[ "$file" = "$base" ] || echo "$line" >>"$out/.lkvm-refused"
		done <"$file"
	done
}

_kernel_build_in() {
	local arch=$1 version=$2 config=$3 source=$4 nfragments=$5 tree out log make fragments tmp name release image
	shift 5
	fragments=("${@:1:nfragments}")
	shift "$nfragments"
	tmp=${*: -1}
	set -- "${@:1:$#-1}"
	name=$arch-$config
	out=$lkvm_cache/kernels/$version/$name
	tree=$lkvm_cache/kernels/$version/source
	if [ -n "$source" ]; then
		tree=$source
		out=$lkvm_cache/kernels/source-$name-$(printf '%s' "$source" | cksum | cut -d' ' -f1)
	fi
	log=$out.log
	mkdir -p "$out"
	: >"$log"
	[ -n "$source" ] || _tree_hold "$version" "$tree" "$@"
	image=${_kernel_image[$arch]}
	make=(make -C "$tree" "O=$out" "ARCH=${_kernel_arch[$arch]}" "CROSS_COMPILE=${_kernel_cc[$arch]}-" KBUILD_BUILD_TIMESTAMP=1970-01-01
		KBUILD_BUILD_USER=lkvm KBUILD_BUILD_HOST=lkvm "-j$(nproc)" "LOCALVERSION=-$(basename "${tmp%.new.*}")")
	rm -f "$out/.lkvm-refused"
	_kernel_config "$tree" "$out" "$_kernel_configs/$config-$arch.config" ${fragments+"${fragments[@]}"} >>"$log" 2>&1 || {
		tail -n 12 "$log" >&2
		die "$name cannot be configured; see above and $log"
	}
	[ ! -s "$out/.lkvm-refused" ] || die "$(head -n 1 "$out/.lkvm-refused") does not come out: something it depends on is not set"
	_kernel_make "$log" "Linux $version for $name" "${make[@]:1}" "$image"
	release=$(cat "$out/include/config/kernel.release")
	mkdir -p "$tmp/modules/$release"
	cp "$out/arch/${_kernel_arch[$arch]}/boot/$image" "$tmp/Image" && cp "$out/.config" "$tmp/config" && cp "$log" "$tmp/log" &&
		cp "$out"/modules.builtin* "$tmp/modules/$release/" && touch "$tmp/modules/$release/modules."{dep,alias,symbols} ||
		die "the kernel cannot be copied to $tmp; is the disk full?"
}

_kernel_build_locked() { with_lock "kernel-build-$1-$2-$3" _kernel_build_in "$@"; }

_kernel_configs=$lkvm_repo/tests/nested/image

kernel_build() {
	local arch=$1 version=$2 config=$3 source='' fragments=() key dest f
	shift 3
	while [ $# -gt 0 ]; do
		case $1 in
		--config) fragments+=("$(realpath "$2")"); shift 2 ;;
		--source) source=$(realpath "$2"); shift 2 ;;
		*) break ;;
		esac
	done
	f=$_kernel_configs/$config-$arch.config
	[ -f "$f" ] || die "there is no configuration $config for $arch"
	host_tools flex bison bc make gcc libc6-dev "gcc-${_kernel_cc[$arch]}" xz-utils patch
	if [ -z "$source" ]; then
		kernel_source "$version"
		key=$(cat "$KERNEL_TREE/.stamp")
	else
		key="$source $(date +%s.%N)"
	fi
	key=$({
		printf '%s\n' 1 "$arch" "$config" "$key" "$("${_kernel_cc[$arch]}-gcc" -dumpfullversion)"
		for f in "$f" ${fragments+"${fragments[@]}"} "$@"; do sha256sum <"$f"; done
	} | sha256sum | cut -c1-12)
	dest=$lkvm_cache/kernels/$version/built/$arch-$config-$key
	[ -z "$source" ] || dest=$lkvm_cache/kernels/built/$arch-$config-$(basename "$source")
	unless_stamped "$dest" "$key" _kernel_build_locked "$arch" "$version" "$config" "$source" ${#fragments[@]} \
		${fragments+"${fragments[@]}"} "$@" || exit 1
	KERNEL_BUILT=$dest
}

kernel_style() {
	local patch log failed=0
	kernel_source "$1"
	shift
	host_tools perl patch
	log=$lkvm_cache/kernels/style.log
	for patch; do
		if (cd "$KERNEL_TREE" && perl scripts/checkpatch.pl --no-tree --strict --show-types --terse --no-summary "$patch") >"$log" 2>&1; then
			say "$(basename "$patch"): nothing that checkpatch.pl would say"
		else
			failed=1
			cat "$log" >&2
		fi
	done
	return $failed
}
