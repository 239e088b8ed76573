# SPDX-License-Identifier: MIT
# hosts: plic plic-5.10 aia arm64
# limit: 80
# A test harness written for kvmtool: nothing is added to the command line, and the words it greps for are there.

cp "$QUICK" T.flat
cp "$INITRD" env
params="console=ttyS0 loglevel=4 lkvmtest=cmdline"
guest 60 run --nodefaults --network mode=none --loglevel=warning --kernel T.flat --cpus 2 --initrd env --params "$params"
exits exit 0
has nothing-added "^guest: cmdline \[$params\]"
same quiet "$(cat "$errors")" ""
command_of 10 --help
has help "The most commonly used" "$output"
same help-status "$status" 0
guest 10 run --nodefaults --network mode=none --loglevel=warning --kernel missing.flat --cpus 2 --params x
cat "$console" >>"$errors"
has fatal "Fatal: Unable to open kernel missing.flat" "$errors"
if [ "$status" != 0 ] && [ "$status" != hung ]; then ok fatal-status; else not_ok fatal-status "status $status"; fi
command_of 10 version
same version-status "$status" 0
