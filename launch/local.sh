#!/usr/bin/env bash
# Runs on this machine's devices, in the background, with the log in the workdir.
set -euo pipefail

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

dry_run=false workdir="" arguments=()
while [ $# -gt 0 ]; do
  case "$1" in
    --help | -h) usage; exit 0 ;;
    --dry-run) dry_run=true ;;
    --workdir=*) workdir="${1#--workdir=}" ;;
    --workdir)
      if [ $# -lt 2 ]; then
        echo "error: --workdir needs a value" >&2
        exit 2
      fi
      workdir="$2"
      shift
      ;;
    *) arguments+=("$1") ;;
  esac
  shift
done
if [ -z "$workdir" ]; then
  echo "error: --workdir=DIR is missing" >&2
  usage >&2
  exit 2
fi

command=(python -m jax_ser_darts.main "${arguments[@]}" "--workdir=$workdir")
if "$dry_run"; then
  printf '%q ' "${command[@]}"
  printf '>> %q\n' "$workdir/log.txt"
  exit 0
fi
mkdir -p "$workdir"
nohup "${command[@]}" >>"$workdir/log.txt" 2>&1 &
echo "started as process $!; follow it with: tail -f $workdir/log.txt"
