#!/usr/bin/env bash
# Runs as a Vertex AI custom job; a machine that is lost is replaced, and the run goes on.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. launch/common.sh

usage() {
  cat <<TEXT
usage: launch/vertex.sh --project=ID --image=IMAGE --nfs=SERVER:/PATH --network=NETWORK [options] --config=NAME --workdir=DIR
    [any flag of jax_ser_darts.main]

Creates a Vertex AI custom job of one machine that runs python -m jax_ser_darts.main with these flags. An NFS share
(Filestore) is mounted at /mnt/nfs/work, and outlives the machine: DIR, and the corpus, must be below it. Compiled programs
are kept there too. The image runs as user 1000, who must be allowed to write to the share. When Vertex AI takes a spot machine away, it starts the job again, and the run goes on.

  --project=ID          of Google Cloud
  --region=NAME         (us-central1)
  --image=IMAGE         made from launch/Dockerfile and pushed to Artifact Registry
  --nfs=SERVER:/PATH    the share
  --network=NETWORK     projects/NUMBER/global/networks/NAME, which the share is in
  --name=NAME           of the job (jax_ser_darts)
  --machine=TYPE        (g2-standard-8)
  --gpu_type=TYPE       (NVIDIA_L4); empty for none
  --gpus=N              (1)
  --spot=true|false     (true)
  --timeout=SECONDS     of the whole job (604800)
  --dry-run             print the job and the command, create nothing
  --help                this text

example: launch/vertex.sh --project=me --image=europe-docker.pkg.dev/me/ser/jax_ser_darts:cuda --nfs=10.0.0.2:/ser \\
    --network=projects/123/global/networks/default --config=ravdess \\
    --config.data.source=/mnt/nfs/work/ravdess --workdir=/mnt/nfs/work/runs/ravdess
TEXT
}

declare -A option=(
  [project]="" [region]=us-central1 [image]="" [nfs]="" [network]="" [name]=jax_ser_darts [machine]=g2-standard-8
  [gpu_type]=NVIDIA_L4 [gpus]=1 [spot]=true [timeout]=604800
)
cache=/mnt/nfs/work/.cache/jax_ser_darts
parse "$@"
need project image nfs network
need_number gpus timeout
case "$workdir" in
  /mnt/nfs/work/?*) ;;
  *) fail "--workdir=$workdir is not below /mnt/nfs/work, where the share is mounted: it would be lost with the machine" ;;
esac
[[ "${option[nfs]}" = ?*:/* ]] || fail "--nfs=${option[nfs]} must be SERVER:/PATH"
case "${option[spot]}" in
  true) strategy=SPOT ;;
  false) strategy=STANDARD ;;
  *) fail "--spot=${option[spot]} must be true or false" ;;
esac

gpus() {
  [ -n "${option[gpu_type]}" ] || return 0
  echo "      acceleratorType: $(json "${option[gpu_type]}")"
  echo "      acceleratorCount: ${option[gpus]}"
}

job() {
  cat <<TEXT
workerPoolSpecs:
  - replicaCount: 1
    machineSpec:
      machineType: $(json "${option[machine]}")
$(gpus)
    containerSpec:
      imageUri: $(json "${option[image]}")
      command: $(json_list "${command[@]}")
    nfsMounts:
      - server: $(json "${option[nfs]%%:*}")
        path: $(json "${option[nfs]#*:}")
        mountPoint: work
network: $(json "${option[network]}")
scheduling:
  strategy: $strategy
  restartJobOnWorkerRestart: true
  timeout: ${option[timeout]}s
TEXT
}

create=(
  gcloud ai custom-jobs create "--project=${option[project]}" "--region=${option[region]}"
  "--display-name=${option[name]}"
)
if "$dry_run"; then
  job
  echo "# $(shown "${create[@]}" --config=THIS)"
  exit 0
fi
file="$(mktemp --suffix=.yaml)"
trap 'rm -f "$file"' EXIT
job >"$file"
"${create[@]}" "--config=$file"
