#!/usr/bin/env bash
# From nothing to a detection-transfer table: sets up .venv, then runs tools/demo.py.
# Call it again to continue where it stopped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash tools/setup_env.sh
exec .venv/bin/python tools/demo.py "$@"
