#!/usr/bin/env bash
# Set-up and tests in one; arguments go to pytest: bash tools/run_tests.sh tests/tools -k port
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash tools/setup_env.sh tests
exec .venv/bin/python -m pytest -q --durations=10 "$@"
