#!/usr/bin/env bash
# A run in parts, as a Slurm job array. All parts share one run folder; each is resumed until it is finished.
#
#     sbatch --array=0-7 scripts/slurm_array.sh --data /shared/PIE-Bench_v1 --config table1 --out /shared/runs/table1
#
# What follows the script's name goes to `piebench run`, which reads its part from the array's number and size, and
# says so. The same folder may be gone on with by an array of another size.
# Options of sbatch before it change what stands here: --partition, --time, --gres, --array.
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
# A minute before the time limit, piebench is told; it keeps what is finished and ends with code 130.
#SBATCH --signal=USR1@60
#SBATCH --requeue

# Here an environment would be entered: source /shared/venv/bin/activate

srun piebench run "$@"
code=$?
if [ "$code" -eq 130 ]; then
    # Stopped before its end: to the queue again, where it goes on with what is missing.
    scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
fi
exit "$code"
