#!/usr/bin/env bash
# From nothing to a detection-transfer table: sets up .venv, then runs the demo's bench, configs/demo/bench.py.
# Call it again to continue where it stopped. --smoke only sees that everything runs, in a few minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash tools/setup_env.sh
exec .venv/bin/python tools/benchmark.py configs/demo/bench.py "$@"
