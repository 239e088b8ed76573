# SPDX-License-Identifier: MIT
# hosts: plic plic-5.10 arm64 s390x
# limit: 150
# Bad input: one sentence on stderr that names the thing, status 1 (2 for usage), and nothing left behind.

# refused WHAT STATUSES PATTERN ARGUMENT... : lkvm run ARGUMENT... is refused like that; STATUSES: as in [ ] of a pattern.
refused() {
	local what=$1 should=$2 pattern=$3
	shift 3
	guest 15 run "$@"
	if [ "${status#["$should"]}" ]; then
		not_ok "$what" "status $status, should be $should: $(head -n 1 "$errors")"
	elif ! grep -qE -- "$pattern" "$errors"; then
		not_ok "$what" "does not say '$pattern': $(head -n 1 "$errors")"
	elif [ "$(wc -l <"$errors")" -gt 2 ]; then
		not_ok "$what" "$(wc -l <"$errors") lines instead of a sentence"
	else
		ok "$what"
	fi
}

nets=$(ls /sys/class/net | tr '\n' ' ')
echo "this is no kernel" >text
head -c 5000000 "$IMAGE" >short
gzip -c "$INITRD" | head -c 4000 >short.gz
printf "\\177ELF\\002\\001\\001\\000\\000\\000\\000\\000\\000\\000\\000\\000\\002\\000\\$(printf %o "$ELF")\\000\\001\\000\\000\\000" >wild.elf
head -c 200 /dev/urandom >>wild.elf
: >empty
random disk.img 1
K="-k $IMAGE -i $INITRD -m 256"

refused no-kernel 1 "missing" -k missing
refused kernel-folder 1 "/tmp" -k /tmp
refused kernel-text 1 "text" -k text
refused kernel-empty 1 "empty" -k empty
# A raw kernel of s390x does not say how long it is.
[ "$ARCH" = s390x ] || refused kernel-short 1 "short" -k short
refused gzip-short 1 "short.gz" -k short.gz
refused elf-wild 1 "wild.elf" -k wild.elf
refused no-initrd 1 "nothere" -k "$IMAGE" -i nothere
refused no-disk 1 "nodisk" $K -d nodisk
refused cpus-0 12 "cpus" $K -c 0
refused cpus-many 12 "cpus|vCPU|hart" $K -c 5000
refused cpus-word 12 "cpus" $K -c two
small=32
[ "$ARCH" != s390x ] || small=8
refused mem-small 1 "[Mm]emory|RAM|mem" -k "$IMAGE" -i "$INITRD" -m $small
refused mem-word 12 "mem" -k "$IMAGE" -m lots
refused option 2 "frobnicate" $K --frobnicate
refused vsock 12 "vsock" $K --vsock 3
refused tap 1 "notap" $K --network mode=tap,tapif=notap
refused netmode 12 "mode" $K --network mode=carrier-pigeon
refused share 1 "noshare" $K --9p noshare,tag
printf '{\n  "cpus": 2,\n  "mem" 3\n}\n' >bad.json
refused json 12 "bad.json.*3|line 3" --config bad.json
if [ "$ARCH" = s390x ]; then
	refused facility 12 "facilit" $K --hide-facility 20000
	refused facility-word 12 "facilit" $K --hide-facility vectors
	refused firmware 1 "firmware" --firmware text -m 256
	refused dtb 1 "device tree" $K --dump-dtb out.dtb
	refused transport 12 "ccw|transport" $K --virtio-transport mmio
	refused tty 12 "console" $K --tty 1
fi
command_of 10 frobnicate
same command "$status" 2
has command-said "frobnicate" "$errors"

# A disk that another guest writes to.
start run --name user -k "$QUICK" -i "$INITRD" -c1 -m 128 -d disk.img -p "loglevel=4 lkvmtest=sleep"
expect "lkvm guest is up" 40
first=$pid
refused disk-in-use 1 "disk.img" $K -d disk.img
kill "$first"
pid=$first
wait_exit 10

mv /dev/kvm /dev/kvm.away
refused no-kvm 1 "/dev/kvm" $K
mv /dev/kvm.away /dev/kvm
chmod 600 /dev/kvm
cat >nobody.sh <<-EOF
exec $LKVM run $K
EOF
guests=$((guests + 1))
errors=$LOGS/$TEST.nobody-errors
chmod 777 .
start-stop-daemon -S -c nobody:nogroup -n nobody -a /bin/sh -- "$PWD/nobody.sh" >/dev/null 2>"$errors" </dev/null
status=$?
exits no-permission 1
has no-permission-said "/dev/kvm" "$errors"

same nets "$(ls /sys/class/net | tr '\n' ' ')" "$nets"
same children "$(pidof lkvm)" ""
command_of 10 list
hasnt entries "user" "$output"
