#!/bin/sh
# The first process of a machine, in its own mount, process and network namespaces. Its death is the machine's.
#
# Expects CACHE (programs and clusters), MACHINE (this machine's folder: daemons/, disk/, log/) and PATH.
set -eu

# The machine's own /run and /tmp are memory, its /var/lib and /var/log are folders of the cluster's. What is hidden by
# that may hold the cache itself, so the cache is put back in its place after, with what is mounted in it.
mount --rbind "$CACHE" /mnt
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount --bind "/mnt/${MACHINE#"$CACHE"/}/disk" /var/lib
mount --bind "/mnt/${MACHINE#"$CACHE"/}/log" /var/log
mkdir -p "$CACHE"
mount --move /mnt "$CACHE"

# A daemon that ends is started again, as a service manager would; how often, `ready.rs` reads from `ended`.
keep() {
  name=${1##*/}
  while :; do
    while [ -e "$MACHINE/held/$name" ]; do sleep 0.05; done
    sh "$1" >>"/var/log/$name.log" 2>&1 && code=0 || code=$?
    # One that is held down was ended on purpose (`cluster/api.rs`).
    [ -e "$MACHINE/held/$name" ] && continue
    echo "$name $code" >>"$MACHINE/ended"
    sleep 0.5
  done
}

for daemon in "$MACHINE"/daemons/*; do
  keep "$daemon" &
done
wait
