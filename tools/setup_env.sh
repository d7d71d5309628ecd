#!/usr/bin/env bash
# Set-up: makes .venv in the repository and installs a stack of packages into it, without a compiler.
#
#   bash tools/setup_env.sh [tests] [--stack default|onedl|newest]
#
# docs/stacks.md says which stack is for whom. Without --stack, .venv keeps the one that it has.
# A call where everything is in place takes a fraction of a second; one that was interrupted starts
# anew; after a change of the requirements what changed is installed.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
venv=$root/.venv
done_dir=$venv/.installed    # copies of the requirement files that were installed
running=$venv/.installing    # exists while an installation is under way
extra=demo

say() { echo "[set-up ${SECONDS}s] $*"; }
fail() {
    echo "error: $*" >&2
    exit 2
}

chosen=''
while [ $# -gt 0 ]; do
    case $1 in
        tests) extra=tests ;;
        --stack)
            chosen=${2:-none}
            shift
            ;;
        --stack=*)
            chosen=${1#*=}
            chosen=${chosen:-none}
            ;;
        *) fail "it takes tests and --stack, and $1 is neither: bash tools/setup_env.sh [tests]" \
            "[--stack default|onedl|newest]." ;;
    esac
    [ $# -eq 0 ] || shift
done
# The stack in .venv, also if its installation was interrupted, or if the forks were installed by hand.
there=$(cat "$running" 2> /dev/null || cat "$done_dir/stack" 2> /dev/null || true)
if compgen -G "$venv/lib/python*/site-packages/onedl_mmengine-*" > /dev/null; then there=${there:-onedl}; fi
stack=${chosen:-${there:-default}}
case $stack in
    default) constraints=requirements/constraints.txt ;;
    onedl | newest) constraints=requirements/constraints-$stack.txt ;;
    *) fail "the stacks are default, onedl and newest (docs/stacks.md), and --stack is $stack: name one of them." ;;
esac

trap 'echo; say "interrupted: the same command starts anew"; exit 130' INT

# A requirement file, and those that it names with -r.
files_of() {
    local word name
    echo "requirements/$1.txt"
    while read -r word name; do
        if [ "$word" = -r ]; then files_of "${name%.txt}"; fi
    done < "requirements/$1.txt"
}

# Requirement files and what builds the package; a change in one means an installation.
watched() {
    echo requirements/constraints-common.txt "$constraints" setup.py
    files_of runtime
    files_of "$extra"
}

in_place() {
    local file
    [ ! -e "$running" ] && [ "$(cat "$done_dir/root" 2> /dev/null)" = "$root" ] || return 1
    [ "$stack" = "${there:-default}" ] || return 1
    for file in $(watched); do
        cmp -s "$file" "$done_dir/$(basename "$file")" || return 1
    done
    "$venv/bin/python" -I - << 'EOF'
import sys
from importlib.util import find_spec
names = 'torch torchvision timm mmengine mmdet mmcv cv2 sklearn matplotlib hsakd_mm'.split()
sys.exit(any(find_spec(name) is None for name in names))
EOF
}

# The first Python 3.10 to 3.14 that can make virtual environments.
find_python() {
    local candidate found=''
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.1{2,1,3,4,0} python; do
        "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' \
            2> /dev/null || continue
        found=$candidate
        if "$candidate" -c 'import ensurepip, venv' 2> /dev/null; then
            echo "$candidate"
            return
        fi
    done
    if [ -n "$found" ]; then
        found=$("$found" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
        fail "$found cannot make virtual environments here (it lacks ensurepip): install its venv" \
            "package, on Debian and Ubuntu with apt install $found-venv."
    fi
    fail "Python 3.10 to 3.14 is needed, and neither python3 nor python3.10 to python3.14 is" \
        "one of them: install it, or name it as in PYTHON=/path/to/python3.11 bash tools/setup_env.sh."
}

# pip, telling only of the large downloads; its errors are left alone. Compiling every file takes
# longer than the rest; the first import, at the end of this script, compiles what is needed.
install() {
    "$venv/bin/python" -m pip install --disable-pip-version-check --prefer-binary \
        --no-compile --progress-bar off "$@" |
        { grep --line-buffered -E '^ *Downloading .*\(([0-9]{2,}\.[0-9] MB|[0-9.]+ GB)' || true; } |
        while read -r _ what size; do echo "    ${what##*/} $size"; done
}

# The lines of the requirement files. For pip, the forks have other names; for import, the same.
wanted() {
    local forks=(-e '')
    [ "$stack" = onedl ] && forks=(-e 's/^mmengine.*/onedl-mmengine/' -e 's/^mmdet.*/onedl-mmdetection/'
        -e 's/^mmcv-lite.*/onedl-mmcv/')
    # shellcheck disable=SC2046
    sed -E -e '/^(#|-r|$)/d' "${forks[@]}" $(files_of runtime) $(files_of "$extra")
}

if in_place; then
    say ".venv is ready"
    exit 0
fi

other=$(cat "$done_dir/root" 2> /dev/null || echo "$root")
if [ -L "$venv" ] && [ "$other" != "$root" ]; then
    fail ".venv is a link to the environment of another checkout, $other, which stays as it is: remove the link first."
fi
[ "$stack" = "${there:-$stack}" ] || say ".venv has the stack $there, and $stack is wanted: making it anew"

# A virtual environment is tied to its place and its stack; one of the user's own making is kept if it works.
usable() {
    [ ! -e "$running" ] && [ "$other" = "$root" ] && [ "$stack" = "${there:-$stack}" ] &&
        "$venv/bin/python" -c 'import pip' 2> /dev/null
}
if ! usable; then
    python=$(find_python)
    [ -e "$venv" ] && [ "$stack" = "${there:-$stack}" ] && say ".venv is unfinished, broken or was moved: making it anew"
    say "making .venv with $("$python" --version)"
    "$python" -m venv --clear "$venv" || fail "$python could not make .venv: see above."
fi
echo "$stack" > "$running"
rm -rf "$done_dir"

mapfile -t requirements < <(wanted)
say "installing torch, MMDetection and the rest, stack $stack: 5 GB, about a minute on a fast network"
install -c "$constraints" "${requirements[@]}" || fail "pip could not install the packages (see above); check the" \
    "network and the disk space and run the same command again."

# libGL, which opencv-python needs, is absent on slim images; the headless build does without.
if ! "$venv/bin/python" -c 'import cv2' > /dev/null 2>&1; then
    say "opencv-python cannot be imported here: installing opencv-python-headless over it"
    version=$("$venv/bin/python" -m pip show opencv-python | sed -n 's/^Version: //p')
    install --force-reinstall --no-deps "opencv-python-headless==$version"
    "$venv/bin/python" -c 'import cv2' || fail "OpenCV cannot be imported: see above."
fi

say "installing hsakd_mm, editable"
install --no-deps --no-build-isolation --editable . || fail "hsakd_mm could not be installed."

say "importing everything once"
env -u PYTHONDONTWRITEBYTECODE "$venv/bin/python" -W ignore -c '
import hsakd_mm
import matplotlib.pyplot, sklearn.datasets, timm, torch.distributed.run, torchvision.transforms.v2
import mmdet.apis, mmdet.datasets, mmdet.evaluation, mmdet.models, pycocotools.coco
' || fail "what was installed cannot be imported: see above; to start anew, remove .venv."

mkdir -p "$done_dir"
# shellcheck disable=SC2046
cp $(watched) "$done_dir/"
echo "$root" > "$done_dir/root"
echo "$stack" > "$done_dir/stack"
rm "$running"
say "done: .venv is ready"
