#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#SBATCH --job-name=declip --nodes=4 --ntasks-per-node=2 --cpus-per-task=16 --time=24:00:00
#SBATCH --signal=USR1@180 --requeue --open-mode=append
# A job for Slurm, to be copied and changed:
#
#	sbatch slurm.sh --data '/shared/cc3m/train-{00000..00331}.tar' --run /shared/runs/b32 --arch vit-b-32 --batch 4096 --epochs 32
#
# Eight ranks of sixteen threads. Three minutes before the time is over Slurm sends SIGUSR1, the run stops with a checkpoint
# (status 4), and the job goes back into the queue and continues. `scontrol requeue JOB` does the same at once; `scancel JOB`
# ends it, with a checkpoint too, and the same sbatch continues. This Slurm must know PMIx (srun --mpi=list); without it,
# `mpirun --map-by slot:PE=16 train.sh ...` in place of srun does the same. Tried with Slurm 22.05 of Debian 12.
set -u
[ -n "${SLURM_JOB_ID-}" ] || { echo "slurm.sh: not in a job of Slurm: sbatch slurm.sh ..." >&2; exit 2; }
train=$(command -v train.sh || echo "${DC_HOME:-$SLURM_SUBMIT_DIR}/pipelines/train.sh")
# not `srun ...; status=$?`: the shell has to wait for it, also when a signal comes
srun --mpi=pmix --kill-on-bad-exit=1 --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" "$train" -q "$@" &
trap : USR1
while wait $!; status=$?; kill -0 $! 2>/dev/null; do :; done
[ "$status" -ne 4 ] || scontrol requeue "$SLURM_JOB_ID"
exit "$status"
