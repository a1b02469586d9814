#!/usr/bin/env bash
# The first hour on a GPU, in 15 minutes on an H100: what benchmarks/gpu_day.py measures, step by step.
#
#   benchmarks/gpu_day.sh                                  # from the project's root; a rerun goes on where it was
#   benchmarks/gpu_day.sh noise miniature                  # these steps alone, again
#   SIGNBRIDGE_DEVICE=cpu benchmarks/gpu_day.sh --small    # the same code on a CPU, with the miniature: minutes
#
# Results go to benchmarks/results/gpu_day.md with device and date. The exit status is 1 if a step failed.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH" PYTHONPATH="$PWD" exec python -m benchmarks.gpu_day "$@"
