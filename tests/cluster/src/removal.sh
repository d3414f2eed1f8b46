# Removes all that a cluster is: its processes, network namespaces, cgroups, folder. The one way down there is, for `cluster
# down`, for the keeper of a caller that died, and for what an earlier one left half done. Safe to run at any time, twice too.
#
# Expects FOLDER, NETWORKS (the prefix of its namespaces' names) and CGROUP (below a hierarchy's root). File descriptor 9, if
# open, is the folder as it was when the caller had it. HELD is set if the caller holds the lock and keeps the empty folder.

fail() {
  echo "cluster: $*" >&2
  exit 1
}

# Someone else's removal may be under way, and a new cluster of the same name may be there when it is done: not ours.
if [ -z "${HELD-}" ]; then
  if [ ! -e /proc/self/fd/9 ]; then
    mkdir -p "$FOLDER" && exec 9<"$FOLDER" || fail "cannot open $FOLDER"
  fi
  flock 9
  [ "$FOLDER" -ef /proc/self/fd/9 ] || exit 0
fi

trees() {
  for tree in "/sys/fs/cgroup/$CGROUP" /sys/fs/cgroup/*/"$CGROUP"; do
    if [ -d "$tree" ]; then echo "$tree"; fi
  done
}

# Within a machine the kernel does the rest: with its first process all others end.
tries=0
while pids=$(trees | while read -r tree; do find "$tree" -name cgroup.procs -exec cat {} +; done 2>/dev/null | sort -u) &&
  [ -n "$pids" ]; do
  tries=$((tries + 1))
  [ $tries -lt 1000 ] || fail "these processes do not end:" $pids
  kill -9 $pids 2>/dev/null
  sleep 0.01
done

for network in "/run/netns/$NETWORKS".control-plane "/run/netns/$NETWORKS".node-[0-9] "/run/netns/$NETWORKS".pod-*; do
  if [ -e "$network" ]; then ip netns delete "${network##*/}" || fail "cannot delete network namespace ${network##*/}"; fi
done
# `ip` made this mount for the first namespace; it goes with the last.
if [ -d /run/netns ] && [ -z "$(ls -A /run/netns)" ]; then umount /run/netns 2>/dev/null && rmdir /run/netns; fi

# The kernel lets go of a cgroup a little after its last process.
tries=0
while [ -n "$(trees)" ]; do
  trees | while read -r tree; do find "$tree" -depth -type d -exec rmdir {} + 2>/dev/null; done
  tries=$((tries + 1))
  [ $tries -lt 200 ] || fail "cannot remove these cgroups:" $(trees)
  [ -z "$(trees)" ] || sleep 0.01
done
for parent in /sys/fs/cgroup/"${CGROUP%/*}" /sys/fs/cgroup/*/"${CGROUP%/*}"; do
  if [ -d "$parent" ]; then rmdir "$parent" 2>/dev/null; fi
done

if [ -n "${HELD-}" ]; then
  find "$FOLDER" -xdev -mindepth 1 -delete || fail "cannot empty $FOLDER"
else
  rm -rf --one-file-system "$FOLDER" || fail "cannot remove $FOLDER"
  rmdir "${FOLDER%/*}" 2>/dev/null
fi
exit 0
