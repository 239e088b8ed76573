#!/bin/bash
# SPDX-License-Identifier: MIT
# Tests of tools/kernel-source.sh that build nothing: what a series does to a source tree.
set -uo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LKVM_CACHE=$work/cache
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
. "$(dirname "${BASH_SOURCE[0]}")/images.sh"
have patch && have xz && have diff || { echo "there is no patch, diff or xz here"; exit 77; }

bad=0
same() {
	[ "$2" = "$3" ] && return
	printf 'FAIL %s: is "%s", should be "%s"\n' "$1" "$2" "$3"
	bad=1
}

# --- a source of five files; its archive has a sixth, which is not unpacked at first
name=linux-source-9.1
mkdir -p "$work/$name/kvm" "$work/$name/doc"
seq 1 30 >"$work/$name/kvm/a.c"
seq 1 30 >"$work/$name/kvm/b.c"
echo gone >"$work/$name/kvm/c.c"
seq 5 40 >"$work/$name/doc/d.rst"
mkdir -p "$lkvm_cache/$name/usr/src"
tar -cJf "$(_kernel_tarball 9.1)" -C "$work" "$name"
tree=$work/tree
cp -r "$work/$name" "$tree"
rm -r "$tree/doc"

# diff_of NAME SED-SCRIPT FILE : a patch $work/NAME that does this to FILE.
diff_of() {
	mkdir -p "$work/x/a/$(dirname "$3")" "$work/x/b/$(dirname "$3")"
	cp "$work/$name/$3" "$work/x/a/$3"
	sed "$2" "$work/$name/$3" >"$work/x/b/$3"
	(cd "$work/x" && diff -u "a/$3" "b/$3") >>"$work/$1"
	rm -rf "$work/x"
}
diff_of one.patch '15s/.*/fifteen/' kvm/a.c
diff_of one.patch '20s/.*/twenty/' doc/d.rst
diff_of two.patch '16s/.*/sixteen/' kvm/a.c
diff_of three.patch '3s/.*/three/' kvm/a.c
diff_of three.patch '3s/.*/three/' kvm/b.c
cat >"$work/new.patch" <<'P'
A description, in which a line may begin with
--- dashes
and go on.
---
 kvm/n.c | 1 +

diff --git a/kvm/n.c b/kvm/n.c
new file mode 100644
--- /dev/null
+++ b/kvm/n.c
@@ -0,0 +1 @@
+new
diff --git a/kvm/c.c b/kvm/c.c
deleted file mode 100644
--- a/kvm/c.c
+++ /dev/null
@@ -1 +0,0 @@
-gone
P
cat >"$work/newer.patch" <<'P'
--- a/kvm/n.c
+++ b/kvm/n.c
@@ -1 +1 @@
-new
+newer
P
printf -- '--- a/../../etc/x\n+++ b/../../etc/x\n@@ -0,0 +1 @@\n+x\n' >"$work/out.patch"
echo 'nothing to see' >"$work/none.patch"
printf -- '--- a/kvm/a.c\n+++ b/kvm/a.c\n@@ -1,3 +1,9 @@\n 1\n+x\n' >"$work/short.patch"
printf -- '--- a/kvm/q.c\n+++ b/kvm/q.c\n@@ -1 +1 @@\n-x\n+y\n' >"$work/where.patch"

series() { (_tree_series 9.1 "$tree" "$@") 2>&1; }
line() { sed -n "$1p" "$tree/$2"; }
pristine() { diff -r --exclude=.lkvm --exclude=doc "$work/$name" "$tree"; }

series "$work/one.patch"
same 'a hunk' "$(line 15 kvm/a.c)" fifteen
same 'a file from the archive' "$(line 20 doc/d.rst)" twenty
before=$(stat -c %y "$tree/kvm/a.c")
series "$work/one.patch"
same 'what is the same is left alone' "$(stat -c %y "$tree/kvm/a.c")" "$before"
series "$work/three.patch" "$work/one.patch"
same 'two patches of one file' "$(line 3 kvm/a.c) $(line 15 kvm/a.c) $(line 3 kvm/b.c)" 'three fifteen three'
before=$(cat "$tree"/kvm/*)
same 'a patch that does not fit' "$(series "$work/three.patch" "$work/one.patch" "$work/two.patch")" \
	"$lkvm_tool: two.patch does not apply: hunk 1 of kvm/a.c does not fit (line 13)"
same 'and the tree as before' "$(cat "$tree"/kvm/*)" "$before"
same 'a patch twice' "$(series "$work/one.patch" "$work/one.patch")" \
	"$lkvm_tool: one.patch does not apply: hunk 1 of kvm/a.c does not fit (line 12)"
series
same 'reverted' "$(pristine)" ''
series "$work/new.patch" "$work/newer.patch"
same 'a new file' "$(cat "$tree/kvm/n.c")" newer
same 'a file that goes' "$(ls "$tree/kvm" | tr '\n' ' ')" 'a.c b.c n.c '
# As an interruption leaves it: some files are of one series, some of another, and a copy is half made.
echo half >"$tree/kvm/a.c"
echo half >"$tree/.lkvm/orig/kvm/b.c.new"
series
same 'reverted again' "$(pristine)" ''
same 'a way out of the tree' "$(series "$work/out.patch")" "$lkvm_tool: a patch names the file ../../etc/x, which is not in the tree"
same 'no patch' "$(series "$work/none.patch" | sed 's/apply: .*/apply/')" "$lkvm_tool: none.patch does not apply"
same 'a short patch' "$(series "$work/short.patch" | sed 's/apply: .*/apply/')" "$lkvm_tool: short.patch does not apply"
same 'a file that is nowhere' "$(series "$work/where.patch")" \
	"$lkvm_tool: where.patch does not apply: the file that its line 3 names is not in the source"
same 'still reverted' "$(pristine)" ''

# --- which patches
mkdir "$work/dir" "$work/quilt" "$work/empty"
cp "$work/one.patch" "$work/dir/0001-one.patch"
cp "$work/two.patch" "$work/dir/0002-two.patch"
cp "$work/one.patch" "$work/two.patch" "$work/quilt"
printf '# remarks\ntwo.patch -p1\n\none.patch\n' >"$work/quilt/series"
names() { (kernel_patches "$@" && printf '%s\n' "${PATCHES[@]##*/}" | tr '\n' ' ') 2>&1; }
same 'by name' "$(names "$work/dir" "$work/three.patch")" '0001-one.patch 0002-two.patch three.patch '
same 'by series' "$(names "$work/quilt")" 'two.patch one.patch '
same 'none there' "$(names "$work/empty")" "$lkvm_tool: there is no *.patch in the folder $work/empty"
same 'no such patch' "$(names "$work/nosuch")" "$lkvm_tool: there is no patch $work/nosuch"

mkdir -p "$work/repo/arch/riscv/kernel/linux-9.1"
cp "$work/one.patch" "$work/repo/arch/riscv/kernel/linux-9.1/0001-one.patch"
ours() { (lkvm_repo=$work/repo && kernel_series "$@" && echo "${PATCHES[@]##*/}") 2>&1; }
same 'of that kernel' "$(ours riscv64 9.1)" 0001-one.patch
same 'of another kernel' "$(ours riscv64 9.2)" ''
same 'of another architecture' "$(ours arm64 9.1)" ''

# A source that Debian has no longer is lost; a version that it never had is a mistake, which others say, and what cannot be had today may come tomorrow.
# lost VERSION READING FINDING : the statuses of reading Debian's index, and of finding the package in it.
lost() {
	local reading=$2 finding=$3
	(
		kernel_source() { return 1; }
		deb_apt() { if [ "$3" = true ]; then return "$reading"; else return "$finding"; fi; }
		kernel_lost "$1"
	) && echo lost || echo no
}
same 'a source that is gone' "$(lost 6.12 0 100)" lost
same 'a source that does not come' "$(lost 6.12 0 0)" no
same 'a source without a network' "$(lost 6.12 1 1)" no
same 'a source that never was' "$(lost 1.2 0 100)" no
same 'a source that is there' "$( (kernel_source() { :; }; kernel_lost 6.12) && echo lost || echo no)" no

# --- remarks
mkdir -p "$work/style/scripts" "$lkvm_cache/kernels"
cat >"$work/style/scripts/checkpatch.pl" <<'P'
print "$ARGV[-1]:7: CHECK:SPACING: spaces\n$ARGV[-1]:9: CHECK:SPACING: spaces\n$ARGV[-1]:1: ERROR:C99_COMMENTS: comment\n";
exit 1;
P
style() {
	printf '%s\n' "$@" >"$work/dir/remarks"
	(kernel_source() { KERNEL_TREE=$work/style; }; host_tools() { :; }; kernel_style 6.12 "$work/dir"/one.patch) 2>&1 | sed -n "s|^$lkvm_tool: ||p"
}
same 'known remarks' "$(style '# known' 'one.patch CHECK:SPACING 2' 'one.patch ERROR:C99_COMMENTS 1' 'two.patch CHECK:SPACING 1')" \
	'one.patch: nothing that checkpatch.pl would say, but what is known'
same 'one remark more' "$(style 'one.patch CHECK:SPACING 1' 'one.patch ERROR:C99_COMMENTS 1')" 'one.patch: known is CHECK:SPACING 1, ERROR:C99_COMMENTS 1, and it says'
same 'a remark unknown' "$(style 'one.patch CHECK:SPACING 2')" 'one.patch: known is CHECK:SPACING 2, and it says'
rm "$work/dir/remarks"

# --- words
mkdir "$work/built" "$work/clean"
touch "$work/built/Kconfig" "$work/built/.config" "$work/clean/Kconfig"
kernel() { "$(dirname "${BASH_SOURCE[0]}")/kernel" "$@" 2>&1; echo "$?"; }
same 'no version' "$(kernel arm64)" 'kernel: say an architecture and a version, such as: tools/kernel arm64 6.12
2'
same 'no such option' "$(kernel arm64 6.12 --fast)" 'kernel: unknown option --fast (see tools/kernel --help)
2'
same 'no value' "$(kernel arm64 6.12 --series)" 'kernel: --series wants a value
2'
same 'no source' "$(kernel arm64 6.12 --source "$work/dir")" "kernel: $work/dir is no kernel source: it has no Kconfig
2"
same 'a source built in place' "$(kernel arm64 6.12 --source "$work/built" | cut -d: -f2)" " $work/built was built in place, and must be clean to be built elsewhere
2"
same 'a series for a tree of yours' "$(kernel arm64 6.12 --source "$work/clean" --series "$work/one.patch")" \
	'kernel: a tree of yours is built as it is: apply the series there yourself, or leave --source away
2'
same 'style of nothing' "$(kernel arm64 6.12 --style)" 'kernel: --style wants a --series
2'
same 'no configuration' "$(kernel arm64 6.12 --config "$work/nosuch")" "kernel: there is no configuration $work/nosuch
2"
same 'no such configuration' "$( (kernel_build riscv64 6.12 nosuch) 2>&1)" "$lkvm_tool: there is no configuration nosuch for riscv64"
same 'no such source' "$(kernel arm64 1.2 --series "$work/one.patch" --style | cut -d: -f1-2)" 'kernel: no suite is known to have a linux-source-1.2; there are
1'

exit $bad
