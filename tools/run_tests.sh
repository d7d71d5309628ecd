#!/usr/bin/env bash
# Set-up, static checks and tests in one. Arguments go to pytest, and leave out the static checks:
#
#   bash tools/run_tests.sh tests/tools -k port
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash tools/setup_env.sh tests
[ $# -gt 0 ] || bash tools/lint.sh
# Whole files side by side, two at a time: the networks are small, and more threads do not help them.
# In tests/conftest.py's order, not in xdist's, which leaves files of few and long tests to the end.
export OMP_NUM_THREADS=1
exec .venv/bin/python -m pytest -q -rs -n 2 --dist loadfile --no-loadscope-reorder --durations=10 "$@"
