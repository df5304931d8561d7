#!/bin/sh
# `make images`: the images notebook, vault (also gate and ledger) and hub (also proxy and portal).
#
# Wheels are brought from outside, by hash, for the images' Python; inside, nothing asks an index. The wheelhouse
# is kept, so an air-gapped site carries it over and builds with the same command. An image carries the digest of
# what it was made from as a label, and is made again only when that changes.
#   BASE        an image with Python 3.11 and apt; made by images/base/build.sh where unset
#   WHEELHOUSE  where wheels are kept, build/wheelhouse unless set
set -eu
cd "$(dirname "$0")/.."
# Modes are part of an image: whoever builds it, its users can read it.
umask 022

PYTHON_VERSION=3.11
BIN=.venv/bin
WHEELHOUSE=${WHEELHOUSE:-build/wheelhouse}
ROLES=${*:-notebook vault hub}
# No BuildKit: Debian's engine comes without it.
export DOCKER_BUILDKIT=0
MADE_FROM=sandbox-guard.made-from

made_from() { docker image inspect --format "{{index .Config.Labels \"$MADE_FROM\"}}" "$1" 2>/dev/null || true; }

if [ -z "${BASE:-}" ]; then
  BASE=sandbox-guard/base
  digest=$(sha256sum <images/base/build.sh | cut -c -64)
  [ "$(made_from "$BASE")" = "$digest" ] || images/base/build.sh "$BASE" "$MADE_FROM=$digest"
fi

sources() { # <role>: only what is committed or would be, no caches and no state
  while read -r path; do
    git ls-files -z --cached --others --exclude-standard -- "$path"
  done <"images/$1/sources.txt"
}

inputs() { # <role>
  docker image inspect --format '{{.Id}}' "$BASE" 2>/dev/null || echo "$BASE"
  sha256sum images/build.sh requirements.lock package-lock.json "images/$1/Dockerfile" "images/$1/requirements.in"
  sources "$1" | xargs -0 -r sha256sum
}

mkdir -p "$WHEELHOUSE"
context=$(mktemp -d "$WHEELHOUSE/../context.XXXXXX")
trap 'rm -rf "$context"' EXIT

# What the image installs: our lock, narrowed to what this role needs.
narrowed_lock() { # <role>
  "$BIN/uv" pip compile -q --generate-hashes --no-header --no-annotate --no-emit-index-url \
    --python-version "$PYTHON_VERSION" --python-platform x86_64-manylinux_2_28 \
    --find-links "$WHEELHOUSE" -c requirements.lock "images/$1/requirements.in" -o "$2"
}

download() { # <requirements>
  "$BIN/python" -m pip download -qq --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
    --implementation cp --python-version "$PYTHON_VERSION" \
    $(for tag in 2_28 2_27 2_26 2_24 2_17 2_12 2_5; do echo "--platform manylinux_${tag}_x86_64"; done) \
    --platform manylinux2014_x86_64 --platform manylinux2010_x86_64 --platform manylinux1_x86_64 \
    --find-links "$WHEELHOUSE" --dest "$WHEELHOUSE" -r "$1"
}

# The wheels that a lock names, by link: they are not copied before Docker does.
pick() { # <requirements> <folder>
  mkdir -p "$2"
  sed -n 's/^\([A-Za-z0-9._-]*\)\(\[[^]]*\]\)\{0,1\}==\([^ ;]*\).*/\1 \3/p' "$1" | while read -r name version; do
    pattern=$(printf '%s' "$name" | sed 's/[-_.]/[-_.]/g')
    find "$WHEELHOUSE" -iname "$pattern-$version-*.whl" -exec ln -f {} "$2/" \;
  done
}

for role in $ROLES; do
  digest=$(inputs "$role" | sha256sum | cut -c -64)
  if [ "$(made_from "sandbox-guard/$role")" = "$digest" ]; then
    echo "sandbox-guard/$role: 无变化 / unchanged"
    continue
  fi
  echo "sandbox-guard/$role …"
  mkdir -p "$context/$role"
  # Kept beside the wheels that it names: where neither lock nor needs changed, no index is asked again.
  needs=$(cat requirements.lock "images/$role/requirements.in" | sha256sum | cut -c -16)
  lock="$WHEELHOUSE/$role-$needs.txt"
  if ! [ -e "$lock" ]; then
    narrowed_lock "$role" "$context/$role/requirements.txt"
    download "$context/$role/requirements.txt"
    mv "$context/$role/requirements.txt" "$lock"
  fi
  install -m 644 "$lock" "$context/$role/requirements.txt"
  pick "$context/$role/requirements.txt" "$context/$role/wheels"
  ln -f "$BIN/uv" "$context/$role/uv" 2>/dev/null || cp "$BIN/uv" "$context/$role/uv"
  sources "$role" | xargs -0 -r cp --parents -t "$context/$role"
  chmod -R go=rX "$context/$role"/[!uw]*
  # npm's part of the proxy, as `make install` put it there by its lock.
  [ "$role" != hub ] || cp -r node_modules "$context/$role/"
  docker build -q --build-arg "BASE=$BASE" --label "$MADE_FROM=$digest" -f "images/$role/Dockerfile" -t "sandbox-guard/$role" "$context/$role" >/dev/null
  docker image inspect --format '{{index .RepoTags 0}}  {{.Size}} bytes' "sandbox-guard/$role"
done
