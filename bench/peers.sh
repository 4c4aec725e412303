#!/usr/bin/env bash
# Installs the peers of bun run bench s3 into the cache folder: nothing of theirs is part of this tree.
#   bench/peers.sh            both
#   bench/peers.sh minio      one of: minio, versitygw, mc
# Idempotent. Prints the folder that the programs lie in.
set -euo pipefail
cache=${KISEKI_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/kiseki}
peers=$cache/peers
minio=github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
mc=github.com/minio/mc@v0.0.0-20250313080218-cf909e1063a9
versitygw=github.com/versity/versitygw/cmd/versitygw@v1.8.0

install_one() { # name, module: built under the pin's own folder, so that a new pin builds anew
  local name=$1 module=$2 folder
  folder=$peers/${module##*@}
  if [ ! -x "$folder/$name" ]; then
    mkdir -p "$folder"
    GOBIN=$folder GOFLAGS="-mod=mod" CGO_ENABLED=0 nice -n 10 go install -p 1 -trimpath -ldflags "-s -w" "$module" >&2
  fi
  ln -sf "$folder/$name" "$peers/$name"
}

names=("$@")
[ ${#names[@]} -gt 0 ] || names=(minio versitygw)
for name in "${names[@]}"; do
  case $name in
    minio) install_one minio "$minio" ;;
    mc) install_one mc "$mc" ;;
    versitygw) install_one versitygw "$versitygw" ;;
    *) echo "peers: no such peer: $name" >&2; exit 2 ;;
  esac
done
echo "$peers"
