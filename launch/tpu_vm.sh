#!/usr/bin/env bash
# Runs on a Cloud TPU VM: asks for one in the queue, and again when it is taken away, until the run is done.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. launch/common.sh

usage() {
  cat <<TEXT
usage: launch/tpu_vm.sh --project=ID --zone=ZONE --image=IMAGE --bucket=gs://BUCKET/FOLDER [options] --config=NAME
    --workdir=DIR [any flag of jax_ser_darts.main]

Stays in the foreground. Asks for a queued resource of one host, waits for it, runs python -m jax_ser_darts.main with
these flags in a container there, and deletes it when the run is done. When a spot VM is taken away, it asks for another,
and the run goes on. The bucket's folder is mirrored to /work of the VM before the run, and what changes goes back every
minute and at the end: DIR, and the corpus, must be below /work. What is computed again on another VM is at most what
came after the last checkpoint (an epoch of a search, train.checkpoint_epochs of a training) and a minute.

  --project=ID  --zone=ZONE
  --image=IMAGE         made from launch/Dockerfile with TARGET=tpu and pushed to Artifact Registry
  --bucket=gs://...     a folder of Cloud Storage
  --name=NAME           of the queued resource and its VM (jax-ser-darts)
  --accelerator=TYPE    of one host (v5litepod-8)
  --runtime=VERSION     (v2-alpha-tpuv5-lite)
  --spot=true|false     (true)
  --wait=SECONDS        between two looks at the queue (60)
  --tries=N             how often a run may fail on a VM that is still there (3)
  --dry-run             print all commands, run nothing
  --help                this text

example: launch/tpu_vm.sh --project=me --zone=us-west4-a --image=us-docker.pkg.dev/me/ser/jax_ser_darts:tpu \\
    --bucket=gs://me/ser --config=ravdess --config.data.source=/work/ravdess --workdir=/work/runs/ravdess
TEXT
}

declare -A option=(
  [project]="" [zone]="" [image]="" [bucket]="" [name]=jax-ser-darts [accelerator]=v5litepod-8
  [runtime]=v2-alpha-tpuv5-lite [spot]=true [wait]=60 [tries]=3
)
cache=/work/.cache/jax_ser_darts
parse "$@"
need project zone image bucket
need_number wait tries
case "$workdir" in
  /work/?*) ;;
  *) fail "--workdir=$workdir is not below /work, which is mirrored to the bucket: it would be lost with the VM" ;;
esac
[[ "${option[bucket]}" = gs://?* ]] || fail "--bucket=${option[bucket]} must be gs://BUCKET/FOLDER"
case "${option[spot]}" in
  true) spot=(--spot) ;;
  false) spot=() ;;
  *) fail "--spot=${option[spot]} must be true or false" ;;
esac

name="${option[name]}"
place=("--project=${option[project]}" "--zone=${option[zone]}")
queue=(gcloud compute tpus queued-resources)
create=(
  "${queue[@]}" create "$name" "${place[@]}" "--node-id=$name" "--accelerator-type=${option[accelerator]}"
  "--runtime-version=${option[runtime]}" "${spot[@]}"
)
describe=("${queue[@]}" describe "$name" "${place[@]}" "--format=value(state.state)")
delete=("${queue[@]}" delete "$name" "${place[@]}" --force --quiet)

# What the VM does: fetch, run, and give back. Half-written checkpoints stay behind: the run has the one before.
remote="$(
  cat <<TEXT
set -uo pipefail
# A connection that was lost may have left these at work; then what /work has is newer than the bucket.
sudo docker rm --force run >/dev/null 2>&1
[ ! -e /var/tmp/mirror.pid ] || pkill --pidfile /var/tmp/mirror.pid
sudo install --directory --owner="\$(id -u)" --group="\$(id -g)" /work
gcloud storage rsync --recursive --skip-if-dest-has-newer-mtime $(printf '%q' "${option[bucket]}") /work || exit 3
give_back() { gcloud storage rsync --recursive --exclude='.*orbax-checkpoint-tmp.*' /work $(printf '%q' "${option[bucket]}"); }
sudo gcloud auth configure-docker $(printf '%q' "${option[image]%%/*}") --quiet
# --privileged: the TPU's devices, /dev/accel* or /dev/vfio, differ by generation, and are root's.
sudo docker run --name=run --rm --privileged --net=host --user="\$(id -u):\$(id -g)" --volume=/work:/work \
  $(printf '%q' "${option[image]}") $(shown "${command[@]}")&
run=\$!
(while sleep 60; do give_back; done >/dev/null 2>&1) &
mirror=\$!
echo \$mirror >/var/tmp/mirror.pid
wait \$run; status=\$?
kill \$mirror
rm /var/tmp/mirror.pid
give_back || exit 3
exit \$status
TEXT
)"
run=(gcloud compute tpus tpu-vm ssh "$name" "${place[@]}" "--command=$remote")

if "$dry_run"; then
  echo "# where there is no queued resource $name:"
  shown "${create[@]}"
  echo "# every ${option[wait]} s, until it says ACTIVE:"
  shown "${describe[@]}"
  echo "# then, and again on a new one when it is taken away:"
  shown "${run[@]}"
  echo "# when the run is done, or the VM was taken away:"
  shown "${delete[@]}"
  exit 0
fi

# The state of the queued resource; ABSENT only where gcloud says that there is none, and not where it cannot tell.
state_of_it() {
  if "${describe[@]}" 2>"$errors"; then
    return
  elif grep -q NOT_FOUND "$errors"; then
    echo ABSENT
  else
    cat "$errors" >&2
    echo UNKNOWN
  fi
}

errors="$(mktemp)"
trap 'rm -f "$errors"' EXIT

failures=0 unknown=0 seen=false
while true; do
  state="$(state_of_it)"
  echo "$(date +%T) $name: $state"
  case "$state" in
    UNKNOWN)
      unknown=$((unknown + 1))
      if ! "$seen"; then
        echo "error: gcloud has failed, see above" >&2
        exit 1
      fi
      if [ "$unknown" -ge 10 ]; then
        echo "error: gcloud has failed 10 times, see above; if there is a VM $name, it is still there, and paid for" >&2
        exit 1
      fi
      sleep "${option[wait]}"
      continue
      ;;
    ABSENT) "${create[@]}" ;;
    ACTIVE)
      if "${run[@]}"; then
        "${delete[@]}"
        echo "done: ${option[bucket]}"
        exit 0
      fi
      if [ "$(state_of_it)" = ACTIVE ]; then
        failures=$((failures + 1))
        if [ "$failures" -ge "${option[tries]}" ]; then
          "${delete[@]}"
          echo "error: the run failed $failures times on a VM that was there; what it said is above" >&2
          exit 1
        fi
      fi
      sleep "${option[wait]}"
      ;;
    SUSPENDED | FAILED) "${delete[@]}" ;;
    *) sleep "${option[wait]}" ;;
  esac
  unknown=0 seen=true
done
