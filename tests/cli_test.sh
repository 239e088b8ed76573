#!/bin/bash
# SPDX-License-Identifier: MIT
# The command line without a guest: help, usage, statuses, configuration, man page, completion. cli_test.sh LKVM
set -u
lkvm=$(realpath "$1")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
export XDG_RUNTIME_DIR=$dir/runtime HOME=$dir/home
mkdir -m 700 runtime
mkdir home
checks=0 failed=0

bad() {
	echo "not so: $1" >&2
	failed=$((failed + 1))
}

# run STATUS ARGUMENT... : what it says is in out and errors.
run() {
	local should=$1 status
	shift
	checks=$((checks + 1))
	"$lkvm" "$@" >out 2>errors </dev/null
	status=$?
	[ "$status" = "$should" ] || bad "lkvm $*: status $status, should be $should: $(cat errors)"
	said="lkvm $*"
}
has() {
	checks=$((checks + 1))
	grep -qE -- "$2" "$1" || bad "$said: no line like '$2' in $1: $(head -n 3 "$1")"
}
hasnt() {
	checks=$((checks + 1))
	! grep -qE -- "$2" "$1" || bad "$said: '$2' in $1"
}
# One sentence, and nothing on stdout.
sentence() {
	checks=$((checks + 1))
	[ "$(wc -l <errors)" = 1 ] && [ ! -s out ] || bad "$said: not one line on stderr: $(cat out errors)"
	has errors "$1"
}

for words in '' --help -h help; do
	# shellcheck disable=SC2086
	run 0 $words
	has out '^The most commonly used'
	for c in run setup list stat pause resume stop balloon attach detach debug test version help doctor regs; do has out "^   $c "; done
done
run 0 version
has out '^lkvm [0-9]+\.[0-9]+\.[0-9]+$'
run 0 --version
for c in run setup list stat pause resume stop balloon attach detach debug test version help doctor regs completion man; do
	run 0 help "$c"
	has out "^usage: lkvm $c"
	run 0 "$c" --help
	has out "^usage: lkvm $c"
done
run 0 help run
has out '-c, --cpus N'
has out '-p, --params TEXT'
has out '--dump-config'
hasnt out 'vsock'
run 0 man
has out '^\.TH LKVM 1'
has out '\\-\\-nodefaults'
run 0 completion bash
has out '--nodefaults'
bash -n out || bad 'the completion script is no bash'
# complete WORD... : what the last word can become.
complete_words() {
	checks=$((checks + 1))
	said="completion of $*"
	bash -c '. ./script; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _lkvm; printf "%s\n" "${COMPREPLY[@]}"' - "$@" >out
}
cp out script
complete_words lkvm re
has out '^resume$'
hasnt out '^(run|script)$'
complete_words lkvm run --console ''
has out '^virtio$'
hasnt out '^script$'
complete_words lkvm run -k scr
has out '^script$'
complete_words lkvm run scr
has out '^script$'
run 2 completion fish
sentence bash

run 2 frobnicate
sentence frobnicate
run 2 help frobnicate
sentence frobnicate
run 2 run --frobnicate
sentence '--frobnicate'
run 2 run -Z
sentence '-Z'
run 2 run --cpus
sentence '--cpus'
run 2 run -c
sentence '-c'
run 2 run --balloon=3
sentence balloon
run 2 run -c0
sentence 'cpus.*1 to 512'
run 2 run -c two
sentence two
run 2 run -m lots
sentence lots
run 2 run --console braille
sentence 'serial or virtio'
for o in --vsock --vfio-pci --sdl --gtk --vnc --sandbox; do
	run 2 run -k x $o
	sentence "$o"
	run 2 run -k x $o=3
	sentence "$o"
done
run 2 run --network mode=carrier-pigeon
sentence 'mode is tap or none'
run 2 run --network mode=tap,color=red
sentence color
run 2 run --disk image,color
sentence color
run 2 run --9p folder
sentence DIR,TAG
run 2 run --disk ,ro
sentence path
run 2 run --network guest_mac=1:2
sentence guest_mac
for n in 4 x ''; do
	run 2 run --tty "$n"
	sentence '--tty.*0 to 3'
done
run 2 run --name a/b
sentence "--name.*'/'"
run 2 run --virtio-transport pci
sentence 'there is no PCI transport yet'
run 2 run --firmware-address here
sentence '--firmware-address'
run 2 run one two
sentence two
run 2 run -k one two
sentence two
run 1 run --config nofile
sentence 'Fatal: .*nofile.*--config'
printf '{\n  "cpus": 2,\n  "mem" 3\n}\n' >bad.json
run 1 run --config bad.json
sentence 'bad.json:3:9:'
printf '{ "cpu": 2 }\n' >bad.json
run 1 run --config bad.json
sentence 'bad.json:1:3:.*cpu'
printf '{ "network": ["mode=pigeon"] }\n' >bad.json
run 1 run --config bad.json
sentence 'pigeon'
printf '{ "cpus": 1,\n  "tty": 4 }\n' >bad.json
run 1 run --config bad.json
sentence 'bad.json:2:3: --tty 4'
printf '{ "cpus": 1,\n  "name": "a/b" }\n' >bad.json
run 1 run --config bad.json
sentence 'bad.json:2:3: --name'
printf '[]\n' >bad.json
run 1 run --config bad.json
sentence 'object'

# Every spelling gives the same configuration, and so does what was dumped.
run 0 run -c2 -m 128 -k Image -i rd -p 'a b' -d one,ro -d two --dump-config
cp out first
has first '"cpus": 2'
has first '"params": "a b"'
run 0 run --dump-config Image --cpus=2 --mem 128M --initrd rd --params 'a b' --disk one,ro --disk=two
cmp -s out first || bad 'spellings differ'
run 0 run -c 2 -m128 Image -i rd -p 'a b' -done,ro -dtwo --dump-config
cmp -s out first || bad 'attached values differ'
run 0 run --config first --dump-config
cmp -s out first || bad 'a dump does not give the same again'
run 0 run --config first -c3 --dump-config
has out '"cpus": 3'
run 0 run --net mode=none --dump-config
has out 'mode=none'

run 1 run -c1 -d image
sentence 'Fatal: .*-k PATH'
# A kernel that cannot be opened comes first, before anything is made or opened.
for words in '-k nix' 'nix' '-k nix --nodefaults' '-k nix -d nodisk -i nordisk --dev /nowhere/kvm'; do
	# shellcheck disable=SC2086
	run 1 run $words
	sentence 'Fatal: Unable to open kernel nix'
done
[ ! -e home/.lkvm ] || bad 'a root folder is made for no kernel'
: >Image
run 1 run -k Image --nodefaults
sentence 'Fatal: '
run 1 run -k Image --dev /nowhere/kvm --nodefaults
sentence 'Fatal: '

run 0 list
hasnt out 'guest'
for c in stat pause resume stop; do
	run 2 $c
	sentence '--name'
	run 1 $c --name nobody
	sentence 'Fatal: .*nobody'
	run 1 $c nobody
	run 0 $c --all
	run 2 $c one two
done
run 2 balloon --name x
sentence '--inflate'
run 2 balloon --name x --inflate much
sentence much
run 2 balloon --name x --inflate 1 --deflate 1
run 1 balloon --name nobody --inflate 1
sentence nobody
run 2 attach x
sentence one
run 2 attach x --disk a --9p b,c
run 1 attach nobody --disk a
sentence nobody
run 2 attach --disk a
run 2 detach x
run 2 detach x y z
run 1 detach --name x blk0
run 2 debug --name x
sentence '--dump'
run 2 debug --name x --sysrq help
sentence 'one character'
run 1 debug --name nobody -d
run 1 stop --name a/b
sentence 'name'
run 2 setup
run 2 setup a/b
run 2 version now

# Tests of guests: what can be known without KVM.
: >guest1
run 2 test
sentence 'name the tests'
run 1 test nothere
sentence 'Fatal: Unable to open test nothere'
run 2 test home
sentence 'home is a folder'
for n in 0 -1 x 1x '' 99999999; do
	run 2 test guest1 --timeout "$n"
	sentence '--timeout.*1 to 86400'
	run 2 test guest1 -j "$n"
	sentence '--jobs.*1 to 256'
done
for words in '-k x' '--name x' '--tty 0'; do
	# shellcheck disable=SC2086
	run 2 test guest1 $words
	sentence 'not for tests'
done
for words in '"tty": ["0"]' '"firmware": "guest1"'; do
	echo "{$words}" >notests.json
	run 2 test --config notests.json guest1
	sentence 'not for tests'
done
run 2 test guest1 -c0
sentence 'cpus.*1 to 512'
run 1 test --config nofile guest1
sentence 'nofile.*--config'
run 1 test guest1 --junit nowhere/file
sentence 'nowhere/file'
run 1 test --dev /nowhere/kvm guest1 guest1
has out '^FAIL  guest1  '
has out '^0 of 2 tests passed, 2 failed'
run 1 test --dev /nowhere/kvm --tap --junit xml guest1 guest1
has out '^TAP version 13$'
has out '^not ok 2 - guest1$'
has out '^1\.\.2$'
hasnt out '^(FAIL|0 of)'
python3 -c '
import sys, xml.etree.ElementTree as t
s = t.parse("xml").getroot()
sys.exit(not (len(s) == 2 and s[0].get("errors") == "1" and s[0][0].find("error").get("message")))' || bad 'the XML'
name=$(printf 'a&<"\001\377')
: >"$name"
run 1 test --dev /nowhere/kvm --junit xml "$name"
python3 -c 'import xml.etree.ElementTree as t; t.parse("xml")' || bad 'the XML of a strange name'

# A root folder of one's own, its name instead of a path, and the default one.
run 0 setup mine
has out 'lkvm run -d mine'
[ -x home/.lkvm/mine/virt/init ] || bad 'setup makes no init'
run 0 setup mine
run 0 list
has out ' mine +root folder'
run 0 list --run
hasnt out ' mine '
run 0 run -k x -d mine --dump-config
has out "$dir/home/.lkvm/mine\""
run 0 run -k x -d mine,ro --dump-config
has out 'home/.lkvm/mine,ro"'
mkdir mine
run 0 run -k x -d mine --dump-config
has out '"mine"'
run 1 run -k Image
[ -x home/.lkvm/default/virt/init ] || bad 'run makes no default root'
HOME='' run 1 run -k Image
sentence 'HOME'
HOME=$dir/nowhere/home run 1 run -k Image
sentence 'nowhere'

# An entry whose guest is gone cleans itself up; a folder that is open to others is not used.
mkdir -m 700 runtime/lkvm
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("runtime/lkvm/dead.sock")'
run 0 list
hasnt out dead
[ ! -e runtime/lkvm/dead.sock ] || bad 'a stale entry stays'
chmod 755 runtime/lkvm
run 1 list
has errors 'XDG_RUNTIME_DIR'

# The standard streams may be closed.
checks=$((checks + 1))
"$lkvm" version <&- >out || bad 'closed stdin'
"$lkvm" version >&- 2>&- <&- || bad 'all closed'

echo "$checks checks, $failed failed"
[ "$failed" = 0 ]
