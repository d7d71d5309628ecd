#!/usr/bin/env bash
# The static checks, all of them, with pyproject.toml's settings: style, format, which room imports
# which, types. Needs the environment of: bash tools/setup_env.sh tests
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
status=0
.venv/bin/ruff check --quiet . || status=1
.venv/bin/ruff format --quiet --diff . || status=1
.venv/bin/lint-imports --no-cache --no-logo || status=1
.venv/bin/mypy || status=1
exit $status
