#!/bin/sh
# A Docker engine on Debian 12, where none answers yet: installed from Debian, and started beside whatever runs,
# since a build machine has no systemd. Prints what answers. To be run as root; a second run changes nothing.
set -eu

LOG=${SANDBOX_GUARD_ENGINE_LOG:-/var/log/sandbox-guard-dockerd.log}

answers() { docker info --format '{{.ServerVersion}}' 2>/dev/null; }

if [ -z "$(answers)" ]; then
  if ! [ -x /usr/sbin/dockerd ]; then
    export DEBIAN_FRONTEND=noninteractive
    # Installing must not start it: without systemd that fails, and with it the whole installation.
    printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    apt-get update -q
    apt-get install -y -q --no-install-recommends docker.io iptables debootstrap
  fi
  # What an engine that was killed left behind keeps the next one from starting.
  pidfile=/var/run/docker.pid
  if [ -s "$pidfile" ] && ! kill -0 "$(cat "$pidfile")" 2>/dev/null; then rm -f "$pidfile"; fi
  setsid nohup /usr/sbin/dockerd >"$LOG" 2>&1 </dev/null &
  for _ in $(seq 60); do
    [ -z "$(answers)" ] || break
    sleep 0.5
  done
fi

version=$(answers) || true
if [ -z "$version" ]; then
  tail -20 "$LOG" >&2
  echo "dockerd did not start, its log: $LOG" >&2
  exit 1
fi
echo "Docker engine $version"
