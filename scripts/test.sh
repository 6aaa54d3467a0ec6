#!/usr/bin/env bash
# Everything a change must pass: lint, format, types, tests.
set -euo pipefail
cd "$(dirname "$0")/.."
ruff check .
ruff format --check .
mypy
pytest
