#!/usr/bin/env bash
# Collect in .wheels/ what a bare GPU machine lacks (Linux x86-64, Python 3.12, torch and torchvision installed), so that
# benchmarks/on_gpu.sh can install it there without a network.
#
#   bash benchmarks/wheels.sh [CIFAR100 [CIFAR10 WEIGHTS]]
#
# CIFAR100 is a source for tools/dataset_converters/cifar100_to_folder.py: ten classes of it go along, for the curves.
# CIFAR10, another one, and WEIGHTS, the folder with resnet56-4bfd9763.th, are what configs/bench/front needs.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
out=$root/.wheels
rm -rf "$out"
mkdir -p "$out"
platforms=()
for tag in manylinux_2_28 manylinux_2_27 manylinux_2_24 manylinux_2_17 manylinux2014 manylinux1; do
    platforms+=(--platform "${tag}_x86_64")
done
# --no-deps: nothing may pull in torch or a package of nvidia's. Versions as in requirements/constraints.txt.
python3 -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
    "${platforms[@]}" --dest "$out" \
    mmengine==0.10.7 addict==2.4.0 yapf==0.43.0 platformdirs==4.14.8 termcolor==3.3.0 setuptools==80.8.0 \
    timm==1.0.31 mmdet==3.3.0 mmcv-lite==2.1.0 terminaltables==3.1.10 pycocotools==2.0.11 shapely==2.2.0
if ls "$out" | grep -Eiq '^(torch|nvidia|triton|cuda)'; then
    echo "error: a package of the GPU machine's own came along: see $out." >&2
    exit 1
fi
if [ -n "${1:-}" ]; then
    bash "$root/tools/python.sh" "$root/tools/dataset_converters/cifar100_to_folder.py" "$1" \
        --out "$out/images" --classes 0-9 --per-class 300
    rm -rf "$out/images/val"
fi
if [ -n "${2:-}" ]; then
    bash "$root/tools/python.sh" "$root/tools/dataset_converters/cifar100_to_folder.py" "$2" --out "$out/cifar10_slice"
    mkdir "$out/weights"
    cp "$3/resnet56-4bfd9763.th" "$out/weights/"
fi
du -sh "$out"
