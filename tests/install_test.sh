#!/bin/bash
# SPDX-License-Identifier: MIT
# The example builds and starts against an installed tree, as an embedder would build it: with the shared library, and with the static one.
# install_test.sh BUILD SOURCE PATH CC... ; PATH is where pkg-config finds the libraries that Libs.private names, if not where it always looks.
set -u
build=$1 source=$2 path=$3
shift 3
command -v pkg-config >/dev/null || {
	echo 'no pkg-config here'
	exit 77
}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

bad() {
	echo "not so: $1" >&2
	failed=1
}

DESTDIR=$dir meson install -C "$build" --no-rebuild --quiet >"$dir/log" 2>&1 || {
	cat "$dir/log"
	exit 1
}
pc=$(find "$dir" -name lkvm.pc)
lib=$(dirname "$(dirname "$pc")")
# What pkg-config says, with the installed tree's folder before its paths, and none of this machine's own packages.
flags() { PKG_CONFIG_LIBDIR=$(dirname "$pc") PKG_CONFIG_SYSROOT_DIR=$dir pkg-config "$@" --cflags --libs lkvm; }
# starts PROGRAM : without arguments the example says how it is used.
starts() {
	LD_LIBRARY_PATH=$lib "$dir/$1" >"$dir/out" 2>&1
	grep -q 'usage: .*KERNEL' "$dir/out" || bad "$1 does not start: $(head -n 3 "$dir/out")"
}

# shellcheck disable=SC2046
if [ -e "$lib/liblkvm.so" ]; then
	"$@" -o "$dir/shared" "$source/tests/embed.c" $(flags) -pthread || bad 'it does not build with the shared library'
	readelf -d "$dir/shared" | grep -q 'NEEDED.*liblkvm\.so\.0' || bad 'the program does not need liblkvm.so.0'
	starts shared
	# The library's own needs are its own business, and so are their names.
	nm -D --defined-only "$lib/liblkvm.so" | grep -vE ' [TDRB] lkvm_| A |@@?LKVM|__(a|ub|t)san|__odr_asan' >"$dir/names"
	[ ! -s "$dir/names" ] || bad "the shared library shows more than lkvm_*: $(head -n 3 "$dir/names")"
	rm "$lib"/liblkvm.so*
fi
# shellcheck disable=SC2046
"$@" -o "$dir/static" "$source/tests/embed.c" $(flags --static) $(PKG_CONFIG_PATH=$path pkg-config --libs-only-L libfdt liburing zlib zstd yyjson 2>/dev/null) || bad 'it does not build with the static library'
readelf -d "$dir/static" | grep -q 'NEEDED.*liblkvm' && bad 'the static program needs liblkvm.so'
starts static
# A control: what Libs.private names is needed.
# shellcheck disable=SC2046
"$@" -o "$dir/none" "$source/tests/embed.c" $(flags) 2>/dev/null && bad 'Libs.private is not needed'
for want in "$dir"/usr/*/include/lkvm/lkvm.h "$dir"/usr/*/bin/lkvm; do
	[ -s "$want" ] || bad "$want is not installed"
done
exit $failed
