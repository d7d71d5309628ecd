#!/usr/bin/env bash
# The interpreter that every tool runs on, with this repository importable:
# $PYTHON, else the active virtual environment's, else .venv's, else python.
#
#   bash tools/python.sh tools/train.py CONFIG
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [ -z "${PYTHON:-}" ]; then
    if [ -n "${VIRTUAL_ENV:-}" ] && [ -x "$VIRTUAL_ENV/bin/python" ]; then
        PYTHON=$VIRTUAL_ENV/bin/python
    elif [ -x "$root/.venv/bin/python" ]; then
        PYTHON=$root/.venv/bin/python
    else
        PYTHON=python
        command -v python > /dev/null || PYTHON=python3
    fi
fi
if ! command -v "$PYTHON" > /dev/null; then
    echo "error: no Python was found at $PYTHON: run bash tools/setup_env.sh, or set PYTHON." >&2
    exit 2
fi
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
exec "$PYTHON" "$@"
