# SPDX-License-Identifier: MIT
# hosts: plic plic-5.10 aia arm64 s390x
# limit: 90
# 9p: a shared folder works like a folder, and there is no way out of it.

mkdir data
random data/blob 1
echo secret >secret
ln -s "$PWD/secret" data/outside
guest 80 run -k "$QUICK" -i "$INITRD" -c2 -m 128 --9p "$PWD/data,data" -p "loglevel=4 lkvmtest=share"
exits exit 0
has mount "^guest: share mounted"
has read "^guest: share blob $(sum data/blob)"
has write "^guest: share made [0-9a-f]{32}"
has rename "^guest: share rename ok"
has readdir "^guest: share lists 120"
has unlinked "^guest: share unlinked ok"
has symlink "^guest: share symlink ok"
has link "^guest: share link ok"
has chmod "^guest: share chmod ok"
has truncate "^guest: share truncate ok"
has unmount "^guest: share unmounted"
hasnt escape "^guest: share escaped"
same on-host "$(cat data/a/two) $(stat -c %s data/made)" "one 5"
