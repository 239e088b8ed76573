# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What every tool here shares. Source it from a script that has `set -euo pipefail`:
#
#   say TEXT...                     one progress line on stderr
#   die SENTENCE                    one sentence with the cure on stderr, exit status 1
#   must COMMAND...                 run COMMAND; die when it fails
#   have COMMAND                    is there such a command
#   wait_all PID...                 wait for background jobs; fails when one of them failed
#   with_lock NAME COMMAND...       run COMMAND while holding the lock NAME (waits, and says so)
#   unless_stamped DEST KEY COMMAND...
#                                   run COMMAND TMP to fill the new folder TMP, which then becomes DEST; skipped when DEST
#                                   was made with the same KEY before. DEST belongs to this call alone. COMMAND reports
#                                   failure by its status or by die; bash's -e does not hold inside it.
#   host_tools PACKAGE...           the machine has these Debian packages, or gets them (root), or one sentence (not root)
#   deb_unpack ARCH SUITE DEST PACKAGE...
#                                   DEST holds exactly these packages' files
#   deb_unpack_deps ARCH SUITE[,SUITE...] DEST PACKAGE...
#                                   the same with everything they depend on; the first suite is preferred
#   deb_source SUITE DEST PACKAGE   DEST holds the upstream source of a Debian source package (without Debian's patches)
#   deb_apt ARCH SUITES COMMAND ARGUMENT...
#                                   apt-get or apt-cache over the same private indices (for look-ups)
#   deb_run ROOT PROGRAM ARGUMENT...
#                                   replace this shell by a program of a tree that deb_unpack_deps made
#
# Everything lands in $lkvm_cache and a second call with nothing to do needs neither the network nor the machine's apt.
# The mirrors and their keys are those of the machine's own apt sources, so apt's signatures vouch for each byte.
# Environment: LKVM_CACHE, LKVM_MIRROR (Debian archive), LKVM_MIRROR_SECURITY, LKVM_KEYRING.

lkvm_cache=${LKVM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lkvm}
lkvm_repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
lkvm_tool=$(basename "$0")
lkvm_apt_etc=/etc/apt
[[ $lkvm_cache = /* ]] || lkvm_cache=$PWD/$lkvm_cache
# Neither the person's language nor compiler settings reach what these tools run.
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
unset CC CFLAGS CPPFLAGS LDFLAGS LANGUAGE PKG_CONFIG_PATH PKG_CONFIG_LIBDIR

say() { printf '%s: %s\n' "$lkvm_tool" "$*" >&2; }
die() { printf '%s: %s\n' "$lkvm_tool" "$*" >&2; exit 1; }
must() { "$@" || die "this failed, see above: $*"; }
[[ $lkvm_cache != *[[:space:]\'\"]* ]] || die "the cache folder '$lkvm_cache' has a space or a quote in its name; set LKVM_CACHE to another"
mkdir -p "$lkvm_cache/locks" || die "the cache folder $lkvm_cache cannot be made; set LKVM_CACHE to another"

have() { command -v "$1" >/dev/null 2>&1; }

wait_all() {
	local pid failed=0
	for pid in "$@"; do
		wait "$pid" || failed=1
	done
	return $failed
}

with_lock() {
	local name=$1 fd
	shift
	(
		exec {fd}>"$lkvm_cache/locks/$name"
		if ! flock -n "$fd"; then
			[ "$name" = apt-install ] || say "waiting for another run that is working on $name"
			flock "$fd"
		fi
		"$@"
	)
}

# --- folders that are made once -----------------------------------------------------------------------------------------

_stamped() { [ -f "$1/.stamp" ] && [ "$(cat "$1/.stamp")" = "$2" ]; }

_make_stamped() {
	local dest=$1 key=$2 tmp
	shift 2
	_stamped "$dest" "$key" && return 0
	must mkdir -p "$(dirname "$dest")"
	tmp=$(mktemp -d "$dest.new.XXXXXX") || die "no folder can be made beside $dest; is the disk full?"
	chmod 755 "$tmp"
	if ! ( "$@" "$tmp" ); then
		rm -rf "$tmp"
		return 1
	fi
	must printf '%s\n' "$key" >"$tmp/.stamp"
	[ ! -e "$dest" ] || must mv "$dest" "$tmp.old"
	must mv "$tmp" "$dest"
	rm -rf "$tmp.old"
}

unless_stamped() {
	local dest=$1 key=$2
	_stamped "$dest" "$key" && return 0
	with_lock "$(printf '%s' "${dest#"$lkvm_cache"/}" | tr -c 'A-Za-z0-9._-' _)" _make_stamped "$@"
}

# --- the machine's own packages -----------------------------------------------------------------------------------------

_missing_packages() {
	local p installed
	installed=" $(dpkg-query -W -f '${db:Status-Status}:${Package} ' "$@" 2>/dev/null || true)"
	for p in "$@"; do
		[[ $installed == *" installed:$p "* ]] || printf '%s ' "$p"
	done
}

_install_packages() {
	local missing log=$lkvm_cache/apt-install.log
	missing=$(_missing_packages "$@")
	[ -n "$missing" ] || return 0
	say "installing ${missing% }"
	# shellcheck disable=SC2086
	if ! apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $missing >"$log" 2>&1 </dev/null; then
		{ apt-get update && apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $missing; } >"$log" 2>&1 </dev/null || {
			tail -n 15 "$log" >&2
			die "apt-get could not install ${missing% }; see above and $log"
		}
	fi
}

host_tools() {
	local missing
	have dpkg-query || die "this needs a Debian machine (12 or newer): there is no dpkg here"
	missing=$(_missing_packages "$@")
	[ -n "$missing" ] || return 0
	[ "$(id -u)" = 0 ] || die "these packages are missing, please run: sudo apt-get update && sudo apt-get install --no-install-recommends ${missing% }"
	with_lock apt-install _install_packages "$@"
}

# --- a private apt: other architectures and suites, without touching the machine's own ----------------------------------

# Prints "kind<TAB>rank<TAB>uri<TAB>signed-by" for each of the machine's Debian sources; kind is main or security. A key
# written into the source itself comes with its lines joined by a form feed.
_apt_sources() {
	local files=() f
	for f in "$lkvm_apt_etc"/sources.list "$lkvm_apt_etc"/sources.list.d/*.list "$lkvm_apt_etc"/sources.list.d/*.sources; do
		[ -r "$f" ] && files+=("$f")
	done
	[ ${#files[@]} -gt 0 ] || return 0
	awk '
	function emit(types, uris, suites, comps, key, enabled,    u, s, i, j, nu, ns, kind, rank) {
		if (types !~ /(^| )deb( |$)/ || comps !~ /(^| )main( |$)/ || tolower(enabled) ~ /^(no|false|0|off)/)
			return
		nu = split(uris, u, " "); ns = split(suites, s, " ")
		for (i = 1; i <= nu; i++) for (j = 1; j <= ns; j++) {
			if (s[j] ~ /(-security|\/updates)$/) kind = "security"
			else if (s[j] ~ /^(stable|oldstable|testing|unstable|sid|bullseye|bookworm|trixie|forky)$/) kind = "main"
			else continue
			rank = u[i] ~ /debian(-security)?\/?$/ || u[i] ~ /^mirror\+file:.*debian/ ? 0 : 1
			print kind "\t" rank "\t" u[i] "\t" key
		}
	}
	function flush_stanza() {
		emit(v["types"], v["uris"], v["suites"], v["components"], v["signed-by"], v["enabled"])
		split("", v); field = ""
	}
	FNR == 1 { flush_stanza() }
	FILENAME ~ /\.list$/ {
		sub(/#.*/, "")
		if ($1 != "deb") next
		key = ""
		if (match($0, /\[[^]]*\]/)) {
			opts = substr($0, RSTART + 1, RLENGTH - 2)
			$0 = substr($0, 1, RSTART - 1) " " substr($0, RSTART + RLENGTH)
			n = split(opts, o, " ")
			for (i = 1; i <= n; i++) if (tolower(o[i]) ~ /^signed-by=/) { key = substr(o[i], 11); gsub(/,/, " ", key) }
		}
		comps = ""
		for (i = 4; i <= NF; i++) comps = comps " " $i
		emit("deb", $2, $3, comps, key, "yes")
		next
	}
	/^#/ { next }
	/^[ \t]*$/ { flush_stanza(); next }
	/^[ \t]/ { v[field] = v[field] (field == "signed-by" ? "\f" : " ") $0; next }
	{ field = tolower($0); sub(/:.*/, "", field); value = $0; sub(/^[^:]*:[ \t]*/, "", value); v[field] = value }
	END { flush_stanza() }
	' "${files[@]}" | sort -s -t "$(printf '\t')" -k2,2n
}

# _apt_mirror main|security: sets $mirror_uri and $mirror_key.
_apt_mirror() {
	local kind=$1 line override
	line=$(_apt_sources | grep -m1 "^$kind"$'\t' || true)
	mirror_uri=$(cut -f3 <<<"$line")
	mirror_key=$(cut -f4 <<<"$line")
	override=${LKVM_MIRROR:-}
	if [ "$kind" = security ]; then
		override=${LKVM_MIRROR_SECURITY:-${override:+${override%/}-security}}
		if [ -z "$mirror_uri" ] && [ -z "$override" ]; then
			_apt_mirror main
			mirror_uri=${mirror_uri%/}-security
			return
		fi
	fi
	mirror_uri=${override:-$mirror_uri}
	mirror_key=${LKVM_KEYRING:-$mirror_key}
	[ -n "$mirror_uri" ] || die "no Debian archive is named in /etc/apt/sources.list or /etc/apt/sources.list.d; add one, or set LKVM_MIRROR"
	if [ -z "$mirror_key" ] && [ -r /usr/share/keyrings/debian-archive-keyring.gpg ]; then
		mirror_key=/usr/share/keyrings/debian-archive-keyring.gpg
	fi
}

# _apt_dir ARCH SUITES: prints the folder of a private apt; ARCH "source" means source packages.
_apt_dir() { printf '%s/apt/%s-%s' "$lkvm_cache" "$1" "${2//,/+}"; }

_apt_configure() {
	local arch=$1 suites=$2 dir=$3 suite kind types=deb mirror_uri mirror_key sources
	mkdir -p "$dir"/{etc/preferences.d,etc/apt.conf.d,state/lists/partial,cache/archives/partial,log}
	: >"$dir/state/status"
	if [ "$arch" = source ]; then
		types="deb-src"
		arch=$(dpkg --print-architecture)
	fi
	sources=
	for suite in ${suites//,/ }; do
		kind=main
		[[ $suite == *-security ]] && kind=security
		_apt_mirror "$kind"
		sources+="Types: $types"$'\n'"URIs: $mirror_uri"$'\n'"Suites: $suite"$'\n'"Components: main"$'\n'
		[ -z "$mirror_key" ] || sources+="Signed-By: ${mirror_key//$'\f'/$'\n'}"$'\n'
		sources+=$'\n'
	done
	printf '%s' "$sources" >"$dir/etc/lkvm.sources.new"
	{
		# How this machine reaches its mirror (proxies, clocks) holds here too.
		apt-config dump | grep -E '^Acquire::(http|https|ftp|socks|tor|Check-Valid-Until|Check-Date|Retries|ForceIPv[46]|Proxy|AllowRedirect)' || true
		cat <<-CONF
			Acquire::Languages "none";
			Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
			Acquire::Retries "3";
			APT::Architecture "$arch";
			APT::Architectures { "$arch"; };
			APT::Default-Release "${suites%%,*}";
			APT::Sandbox::User "$(id -un)";
			APT::Install-Recommends "false";
			APT::Install-Suggests "false";
			APT::Color "false";
			Dir "$dir";
			Dir::State "$dir/state";
			Dir::State::status "$dir/state/status";
			Dir::Cache "$dir/cache";
			Dir::Cache::srcpkgcache "";
			Acquire::GzipIndexes "true";
			Dir::Log "$dir/log";
			Dir::Etc "$dir/etc";
			Dir::Etc::main "/dev/null";
			Dir::Etc::parts "$dir/etc/apt.conf.d";
			Dir::Etc::sourcelist "$dir/etc/lkvm.sources";
			Dir::Etc::sourceparts "/dev/null";
			Dir::Etc::preferences "/dev/null";
			Dir::Etc::preferencesparts "$dir/etc/preferences.d";
			Dir::Etc::netrc "/etc/apt/auth.conf";
			Dir::Etc::netrcparts "/etc/apt/auth.conf.d";
			Dir::Etc::trusted "/etc/apt/trusted.gpg";
			Dir::Etc::trustedparts "/etc/apt/trusted.gpg.d";
			Dir::Bin::methods "/usr/lib/apt/methods";
		CONF
	} >"$dir/apt.conf"
	mv "$dir/etc/lkvm.sources.new" "$dir/etc/lkvm.sources"
}

_apt_update() {
	local arch=$1 suites=$2 force=${3:-} dir
	dir=$(_apt_dir "$arch" "$suites")
	[ -z "$force" ] && [ -f "$dir/.updated" ] && return 0
	[ "$force" = retry ] && [ -n "$(find "$dir/.updated" -mmin -5 2>/dev/null)" ] && return 0
	say "reading the package index of $suites ($arch)"
	_apt_configure "$arch" "$suites" "$dir"
	if ! APT_CONFIG=$dir/apt.conf apt-get update >"$dir/update.log" 2>&1 || grep -qE '^(E:|W: (Failed|Some|GPG))' "$dir/update.log"; then
		rm -f "$dir/.updated"
		grep -E '^[EW]:' "$dir/update.log" | head -n 3 >&2 || true
		die "the package index of $suites ($arch) could not be read; check the network, the machine's apt sources, or LKVM_MIRROR"
	fi
	APT_CONFIG=$dir/apt.conf apt-cache gencaches >/dev/null 2>&1 || true
	: >"$dir/.updated"
}

_apt_ready() { with_lock "apt-$1-${2//,/+}" _apt_update "$@"; }

deb_apt() {
	local arch=$1 suites=$2
	shift 2
	_apt_ready "$arch" "$suites" >&2 || return 1
	APT_CONFIG=$(_apt_dir "$arch" "$suites")/apt.conf "$@"
}

# _apt_fetch ARCH SUITES FOLDER COMMAND...: run an apt command in FOLDER; once more with a fresh index when it fails.
_apt_fetch() {
	local arch=$1 suites=$2 folder=$3 log=$3/.apt.log
	shift 3
	_apt_ready "$arch" "$suites" || return 1
	( cd "$folder" && APT_CONFIG=$(_apt_dir "$arch" "$suites")/apt.conf "$@" ) >"$log" 2>&1 </dev/null && return 0
	_apt_ready "$arch" "$suites" retry || return 1
	( cd "$folder" && APT_CONFIG=$(_apt_dir "$arch" "$suites")/apt.conf "$@" ) >"$log" 2>&1 </dev/null && return 0
	tail -n 10 "$log" >&2
	return 1
}

# Symbolic links of a package are made for /; let those that point into the tree stay inside it.
_relink() {
	local root=$1 link target
	while IFS= read -r -d '' link; do
		target=$(readlink "$link")
		[ -e "$root$target" ] || [ -L "$root$target" ] || continue
		ln -sfnr "$root$target" "$link"
	done < <(find "$root" -type l -lname '/*' -print0)
}

_unpack_debs() {
	local from=$1 root=$2 deb
	for deb in "$from"/*.deb; do
		dpkg-deb -x "$deb" "$root" || return 1
	done
	_relink "$root"
}

_deb_fill() {
	local arch=$1 suite=$2 n=$3 packages root debs
	shift 3
	packages=("${@:1:n}")
	root=${*: -1}
	debs=$root/.debs
	mkdir "$debs"
	say "downloading ${packages[*]} ($arch, $suite)"
	_apt_fetch "$arch" "$suite" "$debs" apt-get -q download "${packages[@]}" ||
		die "${packages[*]} of $suite ($arch) could not be downloaded; see above"
	_unpack_debs "$debs" "$root" || die "the packages ${packages[*]} of $suite ($arch) do not unpack in $root; is the disk full?"
	rm -rf "$debs"
}

deb_unpack() {
	local arch=$1 suite=$2 dest=$3
	shift 3
	unless_stamped "$dest" "deb 1 $arch $suite $*" _deb_fill "$arch" "$suite" $# "$@"
}

_deb_fill_deps() {
	local arch=$1 suites=$2 n=$3 packages root debs
	shift 3
	packages=("${@:1:n}")
	root=${*: -1}
	debs=$root/.debs
	mkdir -p "$debs/partial"
	say "downloading ${packages[*]} and what they need ($arch, $suites)"
	_apt_fetch "$arch" "$suites" "$debs" apt-get -q -y --download-only -o Dir::Cache::archives="$debs" -o Debug::NoLocking=1 \
		install "${packages[@]}" || die "${packages[*]} of $suites ($arch) could not be downloaded; see above"
	_unpack_debs "$debs" "$root" || die "the packages ${packages[*]} of $suites ($arch) do not unpack in $root; is the disk full?"
	rm -rf "$debs"
}

deb_unpack_deps() {
	local arch=$1 suites=$2 dest=$3
	shift 3
	unless_stamped "$dest" "deps 1 $arch $suites $*" _deb_fill_deps "$arch" "$suites" $# "$@"
}

# Only the upstream archive, whose hash the signed index carries; a mirror may lack a package's small packaging files.
_source_fill() {
	local suite=$1 package=$2 root=$3 debs
	debs=$root/.debs
	mkdir "$debs"
	say "downloading the source of $package ($suite)"
	_apt_fetch source "$suite" "$debs" apt-get -q --download-only --tar-only source "$package" ||
		die "the source of $package ($suite) could not be downloaded; see above"
	host_tools xz-utils
	tar -xf "$debs"/*.orig.tar.* -C "$root" --strip-components=1 --no-same-owner ||
		die "the source of $package ($suite) does not unpack in $root; is the disk full?"
	rm -rf "$debs"
}

deb_source() {
	local suite=$1 dest=$2 package=$3
	unless_stamped "$dest" "source 1 $suite $package" _source_fill "$suite" "$package"
}

# A dynamic program of another Debian tree runs under that tree's own loader and libraries, so it neither needs root nor
# cares what the machine has installed.
deb_run() {
	local root=$1 program=$2 loader libs
	shift 2
	for loader in "$root"/lib64/ld-linux-x86-64.so.2 "$root"/usr/lib64/ld-linux-x86-64.so.2 "$root"/lib/ld-linux-aarch64.so.1 \
		"$root"/usr/lib/ld-linux-aarch64.so.1; do
		[ -e "$loader" ] && break
	done
	libs=$(printf '%s:' "$root"/lib/*-linux-gnu "$root"/usr/lib/*-linux-gnu "$root"/usr/lib/*-linux-gnu/*/)
	exec "$loader" --library-path "${libs%:}" "$root/$program" "$@"
}
