#!/bin/sh
# A cluster with the ledger's database, made at the first start; an interrupted first start begins again.
set -eu
umask 077
bin=$(ls -d /usr/lib/postgresql/*/bin)
if ! [ -e /data/made/PG_VERSION ]; then
  rm -rf /data/making
  "$bin/initdb" -D /data/making -U ledger --auth=trust --encoding=UTF8 --locale=C.UTF-8 >/dev/null
  echo 'create database ledger;' | "$bin/postgres" --single -D /data/making postgres >/dev/null
  mv /data/making /data/made
fi
exec "$bin/postgres" -D /data/made -c listen_addresses= -c unix_socket_directories=/socket
