#!/bin/sh
# The base of all images where no registry can be reached: Debian 12 with Python, made from a Debian mirror.
# Elsewhere any base with Python 3.11 and apt does: `make images BASE=python:3.11-slim@sha256:…`.
set -eu

NAME=${1:-sandbox-guard/base}
LABEL=${2:-}
# The mirrors that this machine itself installs from, unless told otherwise.
mirror_of() { apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' | sed -n "s|^$1 \\(.*[^/]\\)/*\$|\\1|p" | head -n 1; }
MIRROR=${DEBIAN_MIRROR:-$(mirror_of bookworm)}
SECURITY=${DEBIAN_SECURITY_MIRROR:-$(mirror_of bookworm-security)}
[ -n "$MIRROR" ] && [ -n "$SECURITY" ] || { echo "设定 DEBIAN_MIRROR 与 DEBIAN_SECURITY_MIRROR / set DEBIAN_MIRROR and DEBIAN_SECURITY_MIRROR" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
debootstrap --variant=minbase --include=python3 bookworm "$work/root" "$MIRROR" >"$work/log" \
  || { tail -20 "$work/log" >&2; exit 1; }

# Security updates: debootstrap knows the release only.
cat >"$work/root/etc/apt/sources.list" <<SOURCES
deb $MIRROR bookworm main
deb $MIRROR bookworm-updates main
deb $SECURITY bookworm-security main
SOURCES
export DEBIAN_FRONTEND=noninteractive
chroot "$work/root" apt-get update -q >>"$work/log"
chroot "$work/root" apt-get upgrade -y -q >>"$work/log" 2>&1

# What no program in an image reads, and what differs from build to build.
cd "$work/root"
rm -rf usr/share/doc usr/share/man usr/share/info usr/share/locale var/cache/apt/* var/lib/apt/lists/* \
  var/log/* var/cache/debconf/*-old var/cache/ldconfig/aux-cache tmp/*
: >etc/machine-id
printf 'nameserver 127.0.0.1\n' >etc/resolv.conf
printf 'localhost\n' >etc/hostname

tar --sort=name --mtime=@0 --numeric-owner -cf - . | docker import --change 'CMD ["/usr/bin/python3"]' ${LABEL:+--change "LABEL $LABEL"} - "$NAME" >/dev/null
docker image inspect --format '{{index .RepoTags 0}}  {{.Size}} bytes' "$NAME"
