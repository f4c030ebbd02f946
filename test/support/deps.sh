#!/usr/bin/env bash
# Installs the programs that tests and measurements call, only those that are missing. Without root it prints the line to run.
set -eu
PATH=$PATH:/usr/sbin:/sbin

programs=(
  nft:nftables ip:iproute2 tc:iproute2 iptables-legacy:iptables ipset:ipset conntrack:conntrack
  ping:iputils-ping sysctl:procps unshare:util-linux hostname:hostname strace:strace
  ufw:ufw firewall-cmd:firewalld dbus-daemon:dbus-daemon
  fping:fping iperf3:iperf3 tcpdump:tcpdump ethtool:ethtool promtool:prometheus etcd:etcd-server
)
missing=() packages=()
for entry in "${programs[@]}"; do
  command -v "${entry%%:*}" >/dev/null && continue
  missing+=("${entry%%:*}")
  [[ " ${packages[*]-} " == *" ${entry#*:} "* ]] || packages+=("${entry#*:}")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
  echo "The tests need these programs, and this is neither Debian nor Ubuntu: ${missing[*]}" >&2
  exit 1
fi
if [ "$(id -u)" != 0 ]; then
  echo "The tests need these programs: ${missing[*]}. Run:" >&2
  echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${packages[*]}" >&2
  exit 1
fi

echo "Installing what the tests need: ${packages[*]}"
# RUNLEVEL: sysvinit's helpers start no service in runlevel 1.
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
log=$(mktemp)
# systemd starts what is installed, and firewalld would close this machine: the policy says that nothing is started meanwhile.
policy=/usr/sbin/policy-rc.d
[ -e "$policy" ] && policy= || { printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"; }
trap 'rm -f "$log" $policy' EXIT
quietly() { "$@" </dev/null >"$log" 2>&1 || { tail -n 20 "$log" >&2; return 1; }; }
install() { quietly apt-get install -y -q --no-install-recommends "${packages[@]}"; }
# No firewall comes up on this machine, not even for a moment, because its tests are run.
mask() { [ ! -d /run/systemd/system ] || systemctl --quiet "$1" ufw.service firewalld.service || true; }
case " ${packages[*]} " in *" ufw "* | *" firewalld "*) mask mask ;; esac
# Package lists are absent in a fresh container, and may name files that the mirror no longer has.
if ! compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null || ! install; then
  quietly apt-get update -q
  install
fi
# systemd starts a service when its package is installed: the tests want the programs, not daemons on this machine.
if [ -d /run/systemd/system ]; then
  case " ${packages[*]} " in *" ufw "* | *" firewalld "*) mask unmask && systemctl disable ufw.service firewalld.service >/dev/null 2>&1 || true ;; esac
  for unit in prometheus etcd iperf3; do
    case " ${packages[*]} " in
      *" $unit "* | *" $unit-server "*) systemctl disable --now "$unit.service" >/dev/null 2>&1 || true ;;
    esac
  done
fi
