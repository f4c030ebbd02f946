#!/usr/bin/env bash
# Runs its arguments in network, mount and process namespaces of their own, where a test may do what it likes to the
# network: nothing reaches the machine, and when the command ends every process and namespace that it left behind ends too.
# Needs no root: an ordinary user becomes root of a user namespace.
# CNI_PREFLIGHT_LAB=off says aloud that the tests which need this are not to run; without it their absence is a failure.
set -eu

if [ "${1-}" != --inside ]; then
  if [ "${CNI_PREFLIGHT_LAB-}" = off ]; then
    echo "in-namespace: not run, because CNI_PREFLIGHT_LAB=off: $*" >&2
    exit 0
  fi
  [ $# -gt 0 ] || { echo "usage: in-namespace.sh COMMAND [ARGUMENT...]" >&2; exit 1; }
  # A process namespace, so that no agent of an aborted test outlives it.
  unshare_options=(--net --mount --propagation private --pid --fork --kill-child --mount-proc)
  [ "$(id -u)" = 0 ] || unshare_options=(--map-root-user "${unshare_options[@]}")
  if ! refusal=$(unshare "${unshare_options[@]}" true 2>&1); then
    echo "in-namespace: this machine does not let us make namespaces (${refusal:-unshare failed})." >&2
    echo "Run as root, or allow unprivileged user namespaces (Ubuntu: sysctl kernel.apparmor_restrict_unprivileged_userns=0)," >&2
    echo "or set CNI_PREFLIGHT_LAB=off to leave these tests out." >&2
    exit 1
  fi
  exec unshare "${unshare_options[@]}" "$0" --inside "$@"
fi
shift

# `ip netns` keeps its names in /run/netns. It has to be a shared mount, and to be one before two tests make their first
# namespace at the same moment.
mount -t tmpfs -o mode=755 lab /run
mkdir /run/netns /run/lock
mount --bind /run/netns /run/netns
mount --make-shared /run/netns
# /sys/class/net shows the devices of the namespace that mounted it.
mount -t sysfs sysfs /sys
ip link set lo up

# Not exec: the shell stays process 1, which reaps orphans, and its end ends the namespace.
status=0
"$@" || status=$?
exit "$status"
