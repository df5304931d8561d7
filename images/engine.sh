#!/bin/sh
# A Docker engine on Debian 12, where none answers yet: installed from Debian, and started beside whatever runs,
# since a build machine has no systemd. Prints what answers. To be run as root; a second run changes nothing.
#   engine.sh        install what is missing, start it, wait until it answers
#   engine.sh stop   stop an engine that was started so
set -eu

LOG=${SANDBOX_GUARD_ENGINE_LOG:-/var/log/sandbox-guard-dockerd.log}
PIDFILE=/var/run/docker.pid

answers() { docker info --format '{{.ServerVersion}}' 2>/dev/null; }
runs() { [ -s "$PIDFILE" ] && [ "$(cat "/proc/$(cat "$PIDFILE")/comm" 2>/dev/null)" = dockerd ]; }

if [ "${1:-}" = stop ]; then
  runs || exit 0
  kill "$(cat "$PIDFILE")"
  for _ in $(seq 120); do
    runs || exit 0
    sleep 0.5
  done
  echo "dockerd did not stop within a minute" >&2
  exit 1
fi

missing=""
[ -x /usr/sbin/dockerd ] || [ -n "$(answers)" ] || missing="docker.io iptables"
# The base image is made with it.
[ -x /usr/sbin/debootstrap ] || missing="$missing debootstrap"
if [ -n "$missing" ]; then
  export DEBIAN_FRONTEND=noninteractive
  # Installing must not start it: without systemd that fails, and with it the whole installation.
  if ! [ -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  apt-get update -q -o Acquire::Retries=5
  # shellcheck disable=SC2086
  apt-get install -y -q -o Acquire::Retries=5 --no-install-recommends $missing
fi

if [ -z "$(answers)" ]; then
  # What an engine that was killed left behind keeps the next one from starting.
  runs || rm -f "$PIDFILE"
  setsid nohup dockerd >"$LOG" 2>&1 </dev/null &
  for _ in $(seq 360); do
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
