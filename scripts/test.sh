#!/usr/bin/env bash
# Everything a change must pass: lint, format, types, tests. With --all, the tests marked slow as well.
set -euo pipefail
cd "$(dirname "$0")/.."
ruff check .
ruff format --check .
# Beside the tests, after which its findings are shown: without its cache, mypy takes one core for a minute.
types=$(mktemp)
{
mypy
} > "$types" 2>&1 &
checking=$!
# One process per core, one thread in each. A file's tests stay in one process, which makes its fixtures once, and so
# do those of tests/demo, see tests/conftest.py.
export OMP_NUM_THREADS=1
in_processes=(-n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder)
pytest "${in_processes[@]}"
if ! wait "$checking"; then
    cat "$types"
    exit 1
fi
if [[ ${1:-} == --all ]]; then pytest "${in_processes[@]}" -m slow; fi
# What needs a program from outside runs where there is one.
if command -v chromium > /dev/null; then pytest -m browser; fi
if command -v pdflatex > /dev/null; then pytest -m latex; fi
