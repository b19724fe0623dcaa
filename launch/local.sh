#!/usr/bin/env bash
# Runs on this machine's devices, in the background, with the log in the workdir.
set -euo pipefail
# shellcheck source=launch/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<TEXT
usage: launch/local.sh [--dry-run] --config=NAME --workdir=DIR [any flag of jax_ser_darts.main]

Starts python -m jax_ser_darts.main with these flags, in the background; its output goes to DIR/log.txt. Uses every local
device (GPU, TPU or CPU); started again with the same flags it goes on where it was stopped.

  --dry-run   print the command, run nothing
  --help      this text

example: launch/local.sh --config=ravdess:quick --config.data.source=/data/ravdess --workdir=runs/ravdess
TEXT
}

declare -A option=()
sent=false
parse "$@"
if "$dry_run"; then
  echo "$(shown "${command[@]}")>> $(printf '%q' "$workdir/log.txt")"
  exit 0
fi
mkdir -p "$workdir"
nohup "${command[@]}" >>"$workdir/log.txt" 2>&1 &
echo "started as process $!; follow it with: tail -f $workdir/log.txt"
