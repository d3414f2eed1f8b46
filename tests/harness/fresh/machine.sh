#!/bin/sh
# A machine of its own in four steps, each of which becomes or starts the next: keep, enter, boot, run. It ends, with
# every process, mount and cgroup of it, when its command does or when standard input is closed, whichever is first.
#
# Expects FOLDER (its own, removed in the end), ROOT (the Debian that it starts from, never written to), HOME_OF (the
# home folder inside), MOUNTS (lines of `ro|over FROM TO`; what is over a folder is memory), perhaps CERTIFICATES (a file), and the command as
# arguments after the step.
set -eu
step=$1
shift

# The cgroup hierarchies of this host, by where they are mounted; one for each, however often.
hierarchies() {
  while read -r _ at kind _; do
    case $kind:$at in cgroup:/sys/fs/cgroup* | cgroup2:/sys/fs/cgroup*) echo "$at" ;; esac
  done </proc/self/mounts | sort -u
}

case $step in
keep)
  # Outside, in a session of its own: whatever ends the caller does not reach it, and it cleans up after.
  trap '' HUP INT QUIT TERM PIPE
  CGROUP=shard-operator-fresh-$$
  export CGROUP
  cores=$(nproc)
  for at in $(hierarchies); do
    mkdir "$at/$CGROUP"
    for file in cpuset.cpus cpuset.mems; do
      # In version 1 a fresh cpuset is empty, and no process may enter it.
      if [ -e "$at/$CGROUP/$file" ] && [ ! -e "$at/cgroup.controllers" ]; then cat "$at/$file" >"$at/$CGROUP/$file"; fi
    done
    # To the scheduler a group is one process among those of the host; this one is as many as there are cores.
    if [ -e "$at/$CGROUP/cpu.shares" ]; then echo $((1024 * cores)) >"$at/$CGROUP/cpu.shares"; fi
    if [ -e "$at/$CGROUP/cpu.weight" ]; then echo $((cores < 100 ? 100 * cores : 10000)) >"$at/$CGROUP/cpu.weight"; fi
  done
  code=0
  sh "$0" enter "$@" || code=$?
  tries=0
  while left=$(for at in $(hierarchies); do find "$at/$CGROUP" -type d 2>/dev/null; done) && [ -n "$left" ]; do
    for at in $(hierarchies); do find "$at/$CGROUP" -depth -type d -exec rmdir {} + 2>/dev/null || :; done
    tries=$((tries + 1))
    [ $tries -lt 500 ] || { echo "cannot remove these cgroups: $left" >&2; code=1; break; }
    sleep 0.01
  done
  rm -rf --one-file-system "$FOLDER" || code=1
  exit $code
  ;;
enter)
  for at in $(hierarchies); do echo $$ >"$at/$CGROUP/cgroup.procs"; done
  exec unshare --mount --pid --cgroup --uts --ipc --fork --kill-child=SIGKILL sh "$0" boot "$@"
  ;;
boot)
  # The first process of the new namespaces. What is written goes to memory; the home folder and /tmp are on the disk.
  found=$(hierarchies)
  mount -t tmpfs -o mode=755 tmpfs "$FOLDER/memory"
  cd "$FOLDER/memory"
  mkdir upper work root
  mount -t overlay -o "lowerdir=$ROOT,upperdir=upper,workdir=work" overlay root
  cd root
  mount -t proc proc proc
  mount -t sysfs sysfs sys
  mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
  for at in $found; do
    mkdir -p ".$at"
    mount --bind "$at/$CGROUP" ".$at"
  done
  mount --rbind /dev dev
  mount -t tmpfs -o mode=755 tmpfs run
  mkdir -p ".$HOME_OF"
  mount --bind "$FOLDER/home" ".$HOME_OF"
  chmod 1777 "$FOLDER/tmp"
  mount --bind "$FOLDER/tmp" tmp
  if [ -n "${CERTIFICATES-}" ]; then cp "$CERTIFICATES" etc/ssl/certs/ca-certificates.crt; fi
  number=0
  printf '%s\n' "$MOUNTS" | while read -r how from to; do
    if [ "$how" = over ]; then
      number=$((number + 1))
      over=$FOLDER/memory/over-$number
      mkdir -p "$over/upper" "$over/work" ".$to"
      mount -t overlay -o "lowerdir=$from,upperdir=$over/upper,workdir=$over/work" overlay ".$to"
    elif [ "$how" = ro ]; then
      if [ -d "$from" ]; then mkdir -p ".$to"; else mkdir -p ".${to%/*}" && { [ -e ".$to" ] || : >".$to"; }; fi
      mount --bind "$from" ".$to"
      mount -o remount,bind,ro ".$to"
    fi
  done
  cp "$0" run/machine.sh
  mkdir -p run/old
  pivot_root . run/old
  exec chroot . sh /run/machine.sh run "$@"
  ;;
run)
  umount -l /run/old
  rmdir /run/old
  # Version 2 gives controllers only to cgroups below those without processes of their own.
  for at in $(hierarchies); do
    if [ -e "$at/cgroup.controllers" ]; then mkdir "$at/init" && echo 0 >"$at/init/cgroup.procs"; fi
  done
  unset CERTIFICATES CGROUP FOLDER ROOT HOME_OF MOUNTS
  exec 3<&0
  # The caller's end of the pipe is closed: everything but this process ends now, and this one then.
  { read -r _ <&3 || :; kill -KILL -1; } &
  code=0
  "$@" </dev/null 3<&- || code=$?
  exit $code
  ;;
esac
