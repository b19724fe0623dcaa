#!/usr/bin/env bash
# Runs on a GKE cluster as a JobSet; a pod that is preempted is made again and goes on.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. launch/common.sh

usage() {
  cat <<TEXT
usage: launch/gke.sh --image=IMAGE --claim=CLAIM [options] --config=NAME --workdir=DIR [any flag of jax_ser_darts.main]

Applies a JobSet (https://jobset.sigs.k8s.io, to be installed in the cluster) of one pod, or of one a host of a TPU
slice, that runs python -m jax_ser_darts.main with these flags. The PersistentVolumeClaim is mounted at /work, and
outlives the pods: DIR, and the corpus, must be below it, and compiled programs are kept there. The pods of --accelerator=cpu
and gpu run as user 1000. When a pod is lost, all are made again, up to --restarts times,
and go on.

  --image=IMAGE         made from launch/Dockerfile and pushed to where the cluster reads from
  --claim=CLAIM         a PersistentVolumeClaim with a file system (a disk or Filestore, not a bucket)
  --name=NAME           of the JobSet (jax-ser-darts)
  --namespace=NAME      (default)
  --accelerator=KIND    cpu, gpu or tpu (gpu)
  --gpu_type=TYPE       of the node: cloud.google.com/gke-accelerator (nvidia-l4)
  --tpu_type=TYPE       of the node: cloud.google.com/gke-tpu-accelerator (tpu-v5-lite-podslice)
  --tpu_topology=AxB    of the chips of all hosts, or AxBxC: cloud.google.com/gke-tpu-topology (1x1)
  --hosts=N             of a TPU slice (1); several need a claim that all of them may write to (Filestore)
  --chips=N             GPUs, or TPU chips, of a pod (1)
  --cpus=N  --mem=SIZE  that the pod asks for (4, 16Gi)
  --spot=true|false     spot nodes (true)
  --restarts=N          (20)
  --dry-run             print the manifest and the command, apply nothing
  --help                this text

example: launch/gke.sh --image=europe-docker.pkg.dev/me/ser/jax_ser_darts:cuda --claim=ser --config=ravdess \\
    --config.data.source=/work/ravdess --workdir=/work/runs/ravdess
TEXT
}

declare -A option=(
  [image]="" [claim]="" [name]=jax-ser-darts [namespace]=default [accelerator]=gpu [gpu_type]=nvidia-l4
  [tpu_type]=tpu-v5-lite-podslice [tpu_topology]=1x1 [hosts]=1 [chips]=1 [cpus]=4 [mem]=16Gi [spot]=true [restarts]=20
)
cache=/work/.cache/jax_ser_darts
parse "$@"
need image claim
need_number hosts chips cpus restarts
case "$workdir" in
  /work/?*) ;;
  *) fail "--workdir=$workdir is not below /work, where the claim is mounted: it would be lost with the pod" ;;
esac
case "${option[spot]}" in
  true | false) ;;
  *) fail "--spot=${option[spot]} must be true or false" ;;
esac
case "${option[accelerator]}" in
  cpu) selector=() limits="" ;;
  gpu)
    selector=("cloud.google.com/gke-accelerator" "${option[gpu_type]}")
    limits="nvidia.com/gpu"
    ;;
  tpu)
    selector=(
      "cloud.google.com/gke-tpu-accelerator" "${option[tpu_type]}"
      "cloud.google.com/gke-tpu-topology" "${option[tpu_topology]}"
    )
    limits="google.com/tpu"
    [[ "${option[tpu_topology]}" =~ ^[1-9][0-9]*(x[1-9][0-9]*){1,2}$ ]] ||
      fail "--tpu_topology=${option[tpu_topology]} must be like 2x4, or 2x2x1"
    slice=$((${option[tpu_topology]//x/*})) asked=$((option[hosts] * option[chips]))
    [ "$slice" = "$asked" ] || fail "--tpu_topology=${option[tpu_topology]} is of $slice chips, and" \
      "--hosts=${option[hosts]} with --chips=${option[chips]} each is of $asked: no node would have both"
    ;;
  *) fail "--accelerator=${option[accelerator]} is not one of cpu, gpu, tpu" ;;
esac
if [ "${option[spot]}" = true ]; then selector+=("cloud.google.com/gke-spot" "true"); fi

if [ "${option[hosts]}" -gt 1 ]; then
  [ "${option[accelerator]}" = tpu ] || fail "--hosts=${option[hosts]}: several hosts are for --accelerator=tpu"
  command+=(--distributed) # JAX finds its processes from what GKE tells each pod of a slice
fi

# Each line starts with the indentation of the manifest.
node_selector() {
  [ ${#selector[@]} -gt 0 ] || return 0
  echo "              nodeSelector:"
  local i
  for ((i = 0; i < ${#selector[@]}; i += 2)); do
    echo "                ${selector[i]}: $(json "${selector[i + 1]}")"
  done
}

# The devices of a TPU are root's. Elsewhere the pod is the image's user, whose group the claim gets.
user() {
  [ "${option[accelerator]}" != tpu ] || { echo "              securityContext: {runAsUser: 0}" && return; }
  echo "              securityContext: {runAsNonRoot: true, runAsUser: 1000, runAsGroup: 1000, fsGroup: 1000}"
}

chips() {
  [ -n "$limits" ] || return 0
  echo "                    limits:"
  echo "                      $limits: \"${option[chips]}\""
}

manifest() {
  cat <<TEXT
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: $(json "${option[name]}")
  namespace: $(json "${option[namespace]}")
spec:
  failurePolicy:
    maxRestarts: ${option[restarts]}
  replicatedJobs:
    - name: run
      replicas: 1
      template:
        spec:
          parallelism: ${option[hosts]}
          completions: ${option[hosts]}
          backoffLimit: 0
          template:
            spec:
              restartPolicy: Never
              terminationGracePeriodSeconds: 25
$(node_selector)
$(user)
              containers:
                - name: run
                  image: $(json "${option[image]}")
                  command: $(json_list "${command[@]}")
                  securityContext: {allowPrivilegeEscalation: false}
                  resources:
                    requests:
                      cpu: "${option[cpus]}"
                      memory: $(json "${option[mem]}")
$(chips)
                  volumeMounts:
                    - name: work
                      mountPath: /work
              volumes:
                - name: work
                  persistentVolumeClaim:
                    claimName: $(json "${option[claim]}")
TEXT
}

if "$dry_run"; then
  manifest
  echo "# kubectl apply -f -"
  exit 0
fi
manifest | kubectl apply -f -
echo "follow it with: kubectl logs --follow --namespace=${option[namespace]} jobs/${option[name]}-run-0"
