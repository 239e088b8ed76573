#!/bin/bash
# SPDX-License-Identifier: MIT
# css_mutants_test.sh SOURCE CC...: a test of the tests. Each patch of tests/nested/mutants/css is a mistake in the channel subsystem; one of its own unit tests must notice it.
set -euo pipefail
source=$1
shift
command -v patch >/dev/null || { echo "SKIP: there is no patch"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cc=("$@" -std=gnu11 -D_GNU_SOURCE -O0 "-I$dir" "-I$dir/src")
tests="insn ccw turn system"

mkdir "$dir/hw" "$dir/patches"
ln -s "$source/src" "$source/tests" "$dir"
cp "$source"/hw/css* "$dir/hw"
cp "$source"/tests/nested/mutants/css/*.patch "$dir/patches"
cd "$dir"
for f in src/memory src/base/err src/base/sys src/base/log; do
	"${cc[@]}" -c "$f.c" -o "${f##*/}.o"
done
for f in hw/css*.c; do
	"${cc[@]}" -c "$f" -o "$(basename "$f" .c).o"
done

# noticed OBJECT...: what does a test of the subsystem made of these say?
noticed() {
	local t
	for t in $tests; do
		"${cc[@]}" "css_${t}_test.o" "$@" memory.o err.o sys.o log.o -o test -lpthread
		timeout 10 ./test >/dev/null 2>&1 || return 0
	done
	return 1
}

objects=$(ls css*.o | grep -v _test.o)
# shellcheck disable=SC2086
! noticed $objects || { echo "without a mistake, a test fails"; exit 1; }
failed=0
for p in patches/*.patch; do
	name=$(basename "$p" .patch)
	file=$(sed -n 's|^+++ b/||p' "$p")
	cp "$source/$file" "$file"
	patch -s -N -p1 -r - --no-backup-if-mismatch <"$p" || { echo "$name.patch no longer applies: bring it up to date, or think of another mistake"; exit 1; }
	# As the tree is built: bare guests are to try these, too.
	"${cc[@]}" -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers -c "$file" -o mutant.o
	cp "$source/$file" "$file"
	# shellcheck disable=SC2046
	if ! noticed mutant.o $(echo "$objects" | grep -vx "$(basename "$file" .c).o"); then
		echo "$name: nobody noticed"
		failed=1
	fi
done
[ $failed = 0 ] && echo "$(ls patches | wc -l) mistakes, each noticed"
exit $failed
