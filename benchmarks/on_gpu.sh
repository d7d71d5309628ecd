#!/usr/bin/env bash
# What only a GPU can show, most valuable first, each part within its own limit: one JSON or text file for each in $OUT.
# Two calls of nine minutes hold what counts most; the front takes calls of its own:
#
#   export OUT=results COMMIT=...                      of `git rev-parse HEAD`, where .wheels and the code were copied here
#   PARTS="env compile fp32" bash benchmarks/on_gpu.sh
#   PARTS="tests curve run" bash benchmarks/on_gpu.sh  those left are step and loader
#   PARTS=front TOTAL=560 bash benchmarks/on_gpu.sh    accuracy against cost (configs/bench/front): goes on in a second
#                                                      call on the same machine, where work_dirs/front is kept
#   SIZES=tiny SLOW=4 bash benchmarks/on_gpu.sh        minutes on a CPU: see that everything runs
#
# A part whose file is in $OUT already is skipped; where $OUT is emptied before each call, name the parts.
# DATA is a folder of images, one folder per class, for the loss curves; otherwise .wheels/images/train, or digits.
# Packages in .wheels/ (benchmarks/wheels.sh) are installed beside those of the machine; nothing is downloaded.
# DEMAND is the rate, in images/s, that the loader is compared with: by default the compiled step's of an H100.
# TOTAL is when to end, in seconds; SLOW multiplies the parts' limits.
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
OUT=${OUT:-benchmarks/out}
PARTS=${PARTS:-env compile fp32 tests curve run step loader}
mkdir -p "$OUT"
python=${PYTHON:-python3}
export PYTHONUNBUFFERED=1 CUBLAS_WORKSPACE_CONFIG=:4096:8 PYTHONPATH=$PWD
if ls .wheels/*.whl > /dev/null 2>&1 && [ "${SIZES:-}" != tiny ] && [ -z "${COMMIT:-}" ]; then
    echo 'COMMIT should name the commit that was copied here, and it is not set: COMMIT=$(git rev-parse HEAD) of where' \
        'the copy was made.' >&2
    exit 2
fi
if ls .wheels/*.whl > /dev/null 2>&1 && [ ! -e /tmp/hsakd_site/.done ] && [ "${SIZES:-}" != tiny ]; then
    "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade \
        --target /tmp/hsakd_site .wheels/*.whl && touch /tmp/hsakd_site/.done
fi
if [ -d /tmp/hsakd_site ]; then PYTHONPATH=$PWD:/tmp/hsakd_site; fi

config=configs/hsakd/imagenet_r34_r18.py
if [ "${SIZES:-}" = tiny ]; then
    sizes=(--batch 1 --size 32 --steps 1 --rounds 1)
    narrow=(--cfg-options 'model.backbone.channels=[8,8,16,16]' 'model.backbone.num_classes=10'
        'default_hooks.distillation.teacher.backbone.channels=[8,8,16,16]'
        'default_hooks.distillation.teacher.backbone.num_classes=10')
    reference=() curve=(--steps 12 --batch 8 --width 4) loader=(--images 8 --workers 1 --seconds 1 --batch 4)
    run=(--batch 2 --size 32 --steps 2 --workers 0)
else
    sizes=(--batch "${BATCH:-256}" --size 224 --steps 6 --rounds 3)
    narrow=() reference=(--against reference) curve=() loader=(--workers 1 8 16 --seconds 4)
    run=(--batch "${BATCH:-256}" --size 224)
fi

# part NAME FILE LIMIT COMMAND...: run it unless its file is there; a failure or a limit ends this part only. What it wrote
# until then is kept as FILE.part, which a second call writes again.
worst=0
part() {
    local name=$1 file=$OUT/$2 limit=$(($3 * ${SLOW:-1})) begun=$SECONDS left=$((${TOTAL:-540} * ${SLOW:-1} - SECONDS))
    shift 3
    case " $PARTS " in *" $name "*) ;; *) return 0 ;; esac
    if [ -s "$file" ]; then
        echo "== $name: $file is there, skipped"
        return 0
    fi
    if [ "$left" -lt 15 ]; then
        echo "== $name: no time is left for it; PARTS=$name runs it"
        return 0
    fi
    limit=$((limit < left ? limit : left))
    echo "== $name (limit $limit s)"
    FILE=$file timeout -k 5 "$limit" "$@" 2>&1 | grep --line-buffered -v Warning | tail -n 40
    local status=${PIPESTATUS[0]}
    echo "== $name: status $status, $((SECONDS - begun)) s, $SECONDS s in all"
    if [ "$status" -ne 0 ]; then
        if [ -e "$file" ]; then mv -f "$file" "$file.part"; fi
        worst=$((status > worst ? status : worst))
    fi
}

step=("$python" benchmarks/benchmark_step.py "$config" --random-teacher "${sizes[@]}")
levers=amp+channels_last+fold_bn

part env env.txt 60 bash -c '
    { nvidia-smi; lscpu | head -25; "$0" -m pip list 2> /dev/null; nvidia-smi topo -m; } > "$FILE" 2>&1
    head -18 "$FILE"; "$0" -c "import hsakd_mm, torch, timm, mmengine; print(torch.__version__, timm.__version__)"' "$python"

part compile step_compile.json 300 "${step[@]}" --variants "$levers+fused" "$levers+fused+compile" \
    "$levers+fused+stem+compile" \
    --profile --out "$OUT/step_compile.json" "${narrow[@]}"

part fp32 step_fp32.json 200 "${step[@]}" --steps 2 --rounds 2 --variants fp32 tf32+channels_last \
    "${reference[@]}" --out "$OUT/step_fp32.json" "${narrow[@]}"

part tests tests.txt 220 bash -c '
    set -o pipefail
    "$0" -m pytest tests/cuda -m cuda -v -p no:cacheprovider --durations=8 -n ${JOBS:-6} --dist load -rA 2>&1 |
        grep -v Warning > "$FILE"; status=$?; tail -n 30 "$FILE"; exit $status' "$python"

part step step_amp.json 170 "${step[@]}" --variants amp amp+channels_last "$levers" "$levers+fused" \
    "${reference[@]}" --profile --out "$OUT/step_amp.json" "${narrow[@]}"

part run run.json 100 "$python" benchmarks/benchmark_run.py "$config" --amp "${run[@]}" --out "$OUT/run.json" \
    --cfg-options default_hooks.distillation.fold_bn=True optim_wrapper.optimizer.fused=True "${narrow[@]:1}"

if [ -z "${DATA:-}" ] && [ -d .wheels/images/train ]; then
    DATA=.wheels/images/train
elif [ -z "${DATA:-}" ]; then
    DATA=/tmp/hsakd_demo/digits/train
    case " $PARTS " in *" curve "*)
        [ -d "$DATA" ] || "$python" tools/prepare_demo_data.py --out /tmp/hsakd_demo > /dev/null ;;
    esac
fi
part curve curve.json 200 "$python" benchmarks/loss_curve.py "$DATA" --out "$OUT/curve.json" "${curve[@]}"

part loader loader.json 100 "$python" benchmarks/benchmark_loader.py "${loader[@]}" --demand "${DEMAND:-1743}" \
    --out "$OUT/loader.json"

# Networks this small leave a GPU idle: several runs share it. The report covers what is finished, at each end.
mkdir -p data
for name in cifar10_slice weights; do
    if [ -d ".wheels/$name" ] && [ ! -e "data/$name" ]; then ln -s "../.wheels/$name" "data/$name"; fi
done
front=(--jobs "${FRONT_JOBS:-8}") reports=work_dirs/front
if [ "${SIZES:-}" = tiny ]; then front=(--jobs 1 --smoke) reports=work_dirs/front_smoke; fi
ends=$((${TOTAL:-540} * ${SLOW:-1} - SECONDS - 45)) # the runs then save, and go on in the next call
ends=$((ends > 1 ? ends : 1))                       # 0 would be without an end
part front front.json 600 bash -c '
    timeout -k 30 "$3" "$0" tools/benchmark.py configs/bench/front/bench.py $1; status=$?
    cp "$2/front.png" "$(dirname "$FILE")"; cp "$2/report.json" "$FILE"; exit $status' "$python" "${front[*]}" "$reports" "$ends"
ls -la "$OUT"
exit "$worst"
