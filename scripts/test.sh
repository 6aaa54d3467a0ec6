#!/usr/bin/env bash
# Everything a change must pass: lint, format, types, tests.
set -euo pipefail
cd "$(dirname "$0")/.."
ruff check .
ruff format --check .
mypy
pytest
# What needs a program from outside runs where there is one.
if command -v chromium > /dev/null; then pytest -m browser; fi
if command -v pdflatex > /dev/null; then pytest -m latex; fi
