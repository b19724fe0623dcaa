#!/usr/bin/env bash
# Submits a run to Slurm; preempted, or at the end of its time, it is queued again and goes on.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. launch/common.sh

usage() {
  cat <<TEXT
usage: launch/slurm.sh [options] --config=NAME --workdir=DIR [any flag of jax_ser_darts.main]

Submits one job, which runs python -m jax_ser_darts.main with these flags on all GPUs that it gets; its output goes to
DIR/log.txt. On several nodes there is a process a GPU (without GPUs, a node), and each batch is divided over all of them.
DIR must be on a file system that all nodes see. Preempted, or two minutes before the end of its time, the job is queued
again and resumes from its last checkpoint. A run that fails is not queued again.

  --partition=NAME  --account=NAME  --constraint=TEXT    as sbatch has them
  --nodes=N     (1)
  --gpus=N      GPUs of a node (1); 0 runs on the CPU
  --cpus=N      cores of a node (8)
  --mem=SIZE    memory of a node (32G)
  --time=TIME   of one stay on a node (04:00:00)
  --setup=TEXT  shell commands before the run, e.g. '. .venv/bin/activate'
  --dry-run     print the job script, submit nothing
  --help        this text

example: launch/slurm.sh --partition=gpu --setup='. .venv/bin/activate' --config=ravdess \\
    --config.data.source=/data/ravdess --workdir=/scratch/me/ravdess
TEXT
}

declare -A option=(
  [partition]="" [account]="" [constraint]="" [nodes]=1 [gpus]=1 [cpus]=8 [mem]=32G [time]=04:00:00 [setup]=""
)
parse "$@"
need_number nodes cpus
[[ "${option[gpus]}" =~ ^[0-9]+$ ]] || fail "--gpus=${option[gpus]} must be a whole number"
workdir="$(realpath -m "$workdir")"
command[-1]="--workdir=$workdir"
tasks=1
if [ "${option[nodes]}" -gt 1 ]; then
  if [ "${option[gpus]}" -gt 0 ]; then tasks="${option[gpus]}"; fi
  command+=(--distributed) # JAX finds its processes from Slurm's variables
fi
cpus=$((option[cpus] / tasks))
[ "$cpus" -gt 0 ] || fail "--cpus=${option[cpus]} is less than one a GPU (${option[gpus]})"

job_script() {
  echo '#!/usr/bin/env bash'
  printf '#SBATCH --%s\n' \
    job-name=jax_ser_darts "nodes=${option[nodes]}" "ntasks-per-node=$tasks" "cpus-per-task=$cpus" "mem=${option[mem]}" \
    "time=${option[time]}" requeue open-mode=append "output=\"$workdir/log.txt\"" signal=B:USR1@120
  if [ "${option[gpus]}" -gt 0 ]; then echo "#SBATCH --gres=gpu:${option[gpus]}"; fi
  local name
  for name in partition account constraint; do
    if [ -n "${option[$name]}" ]; then echo "#SBATCH --$name=${option[$name]}"; fi
  done
  cat <<TEXT
set -uo pipefail
# Slurm requeues what it preempts; a job at the end of its time has to ask for it.
again() {
  echo "out of time: queued again"
  scontrol requeue "\$SLURM_JOB_ID"
  wait
}
trap again USR1
cd $(printf '%q' "$PWD") || exit 1
${option[setup]}
srun --kill-on-bad-exit=1 --cpus-per-task=$cpus $(shown "${command[@]}")&
wait "\$!"
TEXT
}

if "$dry_run"; then
  job_script
  exit 0
fi
mkdir -p "$workdir"
job_script | sbatch
