#!/bin/bash
# SPDX-License-Identifier: MIT
# What tools/nested-host, tools/try, tools/bench and tests/nested/run refuse, and that the tables they share agree. Nothing is downloaded, built or booted.
set -uo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LKVM_CACHE=$work/cache
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

bad=0
fail() {
	printf 'FAIL %s\n' "$*"
	bad=1
}

# refuses STATUS PATTERN COMMAND... : with that status and one sentence like PATTERN.
refuses() {
	local should=$1 pattern=$2 said status
	shift 2
	said=$("$@" 2>&1 </dev/null)
	status=$?
	[ $status = "$should" ] || fail "$*: status $status, should be $should: $said"
	grep -qE -- "$pattern" <<<"$said" || fail "$*: does not say '$pattern': $said"
	[ "$(wc -l <<<"$said")" -le 2 ] || fail "$*: more than a sentence: $said"
}

host=$here/nested-host
refuses 2 'unknown architecture sparc' "$host" sparc --shell
refuses 2 'on s390x there is Linux 6.1 alone' "$host" s390x --kernel-version 7.3 --shell
refuses 2 'icount is QEMU' "$host" s390x --icount --shell
refuses 2 'interrupt controllers of an emulated s390x host' "$host" s390x --gic 3 --shell
refuses 2 'say --script FILE or --shell' "$host" arm64
refuses 2 '--gic wants a value' "$host" arm64 --gic
refuses 2 'gic3 gic2' "$host" arm64 --gic 4 --shell
refuses 2 'gic3 gic2' "$host" arm64 --aia --shell
refuses 2 'plic aia' "$host" riscv64 --gic 3 --shell
refuses 2 'modes of KVM on arm64 are:.*protected' "$host" arm64 --mode fast --shell
refuses 2 'modes of KVM on riscv64 are: none' "$host" riscv64 --mode vhe --shell
refuses 2 'nested takes --kernel-version' "$host" arm64 --mode nested --shell
refuses 2 'two numbers' "$host" arm64 --kernel-version latest --shell
refuses 2 'no kernel /nonexistent' "$host" arm64 --kernel /nonexistent --shell
refuses 2 'two numbers' "$host" riscv64 --build newest --shell
refuses 2 'no configuration .*/nosuch.config' "$host" riscv64 --build 5.10 --config nosuch --shell
refuses 2 'no configuration /nonexistent' "$host" riscv64 --build 5.10 --config /nonexistent --shell
refuses 2 'say --build' "$host" riscv64 --config nosuch --shell
refuses 2 'takes a folder of patches' "$host" riscv64 --build 5.10 --kernel-module /bin/sh --shell
refuses 2 'no script /nonexistent' "$host" arm64 --script /nonexistent
refuses 2 'I do not know x86' "$here/try" x86
refuses 2 '--mode wants a value' "$here/try" arm64 --mode
refuses 1 'no emulated host for x86' "$here/bench" --arch x86
run=$here/../tests/nested/run
refuses 2 'no host arm63' "$run" --flavour arm63
refuses 2 'no test is called nosuch' "$run" nosuch

# Each host of the table is one that tools/nested-host takes: it comes as far as the missing script.
n=0
while read -r name arch depth words; do
	n=$((n + 1))
	# shellcheck disable=SC2086
	refuses 2 'no script /nonexistent' "$host" "$arch" $words --script /nonexistent
	[[ $depth =~ ^(quick|full|slow)$ ]] || fail "host $name is '$depth', neither quick nor full nor slow"
done < <("$run" --hosts)
[ $n -ge 9 ] || fail "only $n hosts in the table"

# Each test has a limit, and runs somewhere.
while read -r name on; do
	[[ $on =~ ^on\ [a-z0-9.\ -]+,\ at\ most\ [0-9]+\ s$ ]] || fail "test $name: $on"
done < <("$run" --full --list)
[ $bad = 0 ] || exit 1
echo "ok"
