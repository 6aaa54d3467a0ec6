#!/usr/bin/env bash
# Run the shards of a run as a Slurm job array. All share one run folder; each is requeued until it is finished.
#
#     sbatch --array=0-7 scripts/slurm_array.sh --data /shared/PIE-Bench_v1 --config table1 --out /shared/runs/table1
#
# The arguments after the script's name are passed to `piebench run`, which takes its shard from the array's index and
# size. An array of another size can resume the same folder.
# Options of sbatch before the script's name override those below: --partition, --time, --gres, --array.
#
#SBATCH --job-name=piebench
#SBATCH --array=0-3
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=24G
#SBATCH --gres=gpu:1
#SBATCH --time=08:00:00
#SBATCH --output=piebench-%A_%a.log
#SBATCH --open-mode=append
# A minute before the time limit, piebench gets a signal, keeps finished edits and ends with code 130.
#SBATCH --signal=USR1@60
#SBATCH --requeue

# Activate an environment here: source /shared/venv/bin/activate

srun piebench run "$@"
code=$?
if [ "$code" -eq 130 ]; then
    # Stopped before its end: requeue, to continue with the missing edits.
    scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
fi
exit "$code"
