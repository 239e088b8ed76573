#!/bin/bash
# SPDX-License-Identifier: MIT
# Tests of tools/lib.sh that need neither the network nor root.
set -uo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LKVM_CACHE=$work/cache
unset LKVM_MIRROR LKVM_MIRROR_SECURITY LKVM_KEYRING
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
have apt-get && have dpkg || { echo "there is no apt here"; exit 77; }

bad=0
same() {
	[ "$2" = "$3" ] && return
	printf 'FAIL %s: is "%s", should be "%s"\n' "$1" "$2" "$3"
	bad=1
}

# --- folders made once
calls=$work/calls
fill() { echo x >>"$calls"; echo "$1" >"$2/what"; }
half() { echo half >"$1/what"; return 1; }
gone() { die "no such thing; make one"; }

unless_stamped "$work/a" key1 fill one
unless_stamped "$work/a" key1 fill two
same 'the same key' "$(cat "$work/a/what")" one
same 'runs once' "$(wc -l <"$calls")" 1
unless_stamped "$work/a" key2 fill three
same 'another key' "$(cat "$work/a/what")" three
unless_stamped "$work/a" key3 half && same 'failure is told' no yes
same 'failure keeps what was' "$(cat "$work/a/what")" three
same 'die is told' "$(unless_stamped "$work/b" key gone 2>&1; echo $?)" "$lkvm_tool: no such thing; make one
1"
same 'failure leaves nothing' "$(ls "$work" | tr '\n' ' ')" 'a cache calls '

# --- locks
slow() { echo "in $1" >>"$work/order"; sleep 0.3; echo "out $1" >>"$work/order"; }
with_lock x slow 1 & first=$!
with_lock x slow 2 2>/dev/null & second=$!
wait_all $first $second || same 'locks' failed ok
same 'one at a time' "$(cut -d' ' -f1 "$work/order" | tr '\n' ' ')" 'in out in out '
false & first=$!
true & second=$!
wait_all $first $second && same 'a failed job is told' no yes

# --- the machine's apt sources
lkvm_apt_etc=$work/apt
mkdir -p "$work/apt/sources.list.d"
cat >"$work/apt/sources.list" <<'E'
# deb http://commented.example/debian bookworm main
deb [arch=amd64 signed-by=/keys/other.gpg] https://other.example/linux/debian bookworm stable
deb [ signed-by=/keys/vendor.gpg ] https://vendor.example bookworm main
deb [ signed-by=/keys/debian.gpg arch=amd64 ] http://mirror.example/debian/ bookworm main contrib # a remark
deb-src http://source.example/debian bookworm main
E
cat >"$work/apt/sources.list.d/more.sources" <<'E'
Enabled: no
Types: deb
URIs: https://off.example/debian-security
Suites: bookworm-security
Components: main

# a remark
Types: deb deb-src
URIs: https://security.example/debian-security
Suites: bookworm-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
E
_apt_mirror main
same 'one-line mirror' "$mirror_uri $mirror_key" 'http://mirror.example/debian/ /keys/debian.gpg'
_apt_mirror security
same 'security mirror' "$mirror_uri" https://security.example/debian-security
_apt_configure amd64 trixie,trixie-security "$work/private"
same 'sources' "$(cat "$work/private/etc/lkvm.sources")" 'Types: deb
URIs: http://mirror.example/debian/
Suites: trixie
Components: main
Signed-By: /keys/debian.gpg

Types: deb
URIs: https://security.example/debian-security
Suites: trixie-security
Components: main
Signed-By: 
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc'
same 'a state of its own' "$(APT_CONFIG=$work/private/apt.conf apt-config shell s Dir::State/d a APT::Architecture)" \
	"s='$work/private/state/'
a='amd64'"
LKVM_MIRROR=http://chosen.example/debian _apt_mirror security
same 'a chosen mirror' "$mirror_uri" http://chosen.example/debian-security
rm "$work/apt/sources.list.d/more.sources"
_apt_mirror security
same 'security beside the archive' "$mirror_uri" http://mirror.example/debian-security
rm "$work/apt/sources.list"
same 'no source at all' "$( (_apt_mirror main) 2>&1 | grep -c 'set LKVM_MIRROR')" 1

# --- packages and trees
same 'missing packages' "$(_missing_packages dpkg no-such-package-as-this apt)" 'no-such-package-as-this '
mkdir -p "$work/tree/usr/lib"
echo x >"$work/tree/usr/lib/file"
ln -s /usr/lib/file "$work/tree/inside"
ln -s /etc/passwd "$work/tree/outside"
_relink "$work/tree"
same 'a link into the tree' "$(readlink "$work/tree/inside")" usr/lib/file
same 'a link out of it' "$(readlink "$work/tree/outside")" /etc/passwd

[ $bad = 0 ] && echo "tools/lib.sh does what it says"
exit $bad
