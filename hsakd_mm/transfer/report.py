"""The table that says what a pretraining was worth, and where each number in it came from."""
import datetime
import glob
import json
import os
import platform
import subprocess
from collections.abc import Sequence

import torch

from hsakd_mm.files import replace


# key in a row: heading, how it is written
COLUMNS = {
    'name': ('pretraining', '{}'),
    'top1': ('top-1 %', '{:.2f}'),
    'AP': ('AP', '{:.1f}'),
    'AP50': ('AP50', '{:.1f}'),
    'AP75': ('AP75', '{:.1f}'),
    'AP_S': ('AP small', '{:.1f}'),
    'AP_M': ('AP medium', '{:.1f}'),
    'AP_L': ('AP large', '{:.1f}'),
    'seconds': ('seconds', '{:,.0f}'),
    'parameters': ('parameters', '{:,}'),
    'seed': ('seed', '{}'),
}
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ABSENT = '–'
# What detectors' metrics are called in mmdet's logs, in parts of 1, and in a row, in percent.
METRICS = {
    'AP': ('coco/bbox_mAP',),
    'AP50': ('coco/bbox_mAP_50', 'pascal_voc/mAP'),
    'AP75': ('coco/bbox_mAP_75',),
    'AP_S': ('coco/bbox_mAP_s',),
    'AP_M': ('coco/bbox_mAP_m',),
    'AP_L': ('coco/bbox_mAP_l',),
}


def write_report(rows: Sequence[dict], out_dir: str, title: str, notes: Sequence[str] = ()) -> dict:
    """Write ``report.md`` and ``report.json`` into ``out_dir``.

    Args:
        rows (list[dict]): One a model: ``name``; ``top1``, ``AP``, ``AP50``, … in percent;
            ``seconds``; ``parameters``; and where they came from: ``command``, ``commit``,
            ``seed``, ``hardware``, ``checkpoint_sha256``. What is absent is shown as –; a column
            that no row has is left out; keys beyond these go into the JSON.
        out_dir (str): Made if it is not there.
        title (str): Heading.
        notes (list[str]): Sentences below the table, in Markdown.

    Returns:
        dict[str, str]: The files, as ``dict(md=..., json=...)``.

    Raises:
        UserError: They cannot be written.
    """
    rows = [dict(row) for row in rows]
    files = {ending: os.path.join(out_dir, f'report.{ending}') for ending in ('md', 'json')}
    text = [f'# {title}', '', *markdown_table(rows), '', *(f'{note}\n' for note in notes),
            *_origins(rows)]
    content = json.dumps(dict(title=title, rows=rows, notes=list(notes)), indent=1, default=str)
    replace(files['md'], lambda file: file.write('\n'.join(text).rstrip().encode() + b'\n'))
    replace(files['json'], lambda file: file.write(content.encode() + b'\n'))
    return files


def markdown_table(rows: Sequence[dict]) -> list:
    """The rows as lines of Markdown."""
    heads, cells = _cells(rows)
    rule = ['---' if number == 0 else '---:' for number in range(len(heads))]
    return [f'| {" | ".join(line)} |' for line in (heads, rule, *cells)]


def print_table(rows: Sequence[dict]) -> None:
    """The rows for a terminal: names to the left, numbers to the right, below each other."""
    heads, cells = _cells(rows)
    widths = [max(map(len, column)) for column in zip(heads, *cells)]

    def line(parts):
        first, *others = (part.ljust(width) if number == 0 else part.rjust(width)
                          for number, (part, width) in enumerate(zip(parts, widths)))
        return '  '.join([first, *others])

    print('\n'.join([line(heads), line(['─' * width for width in widths]), *map(line, cells)]),
          flush=True)


def read_curve(work_dir: str, key: str) -> list:
    """What a run logged under ``key``, over all its starts: ``[(step, value), ...]``.

    Validation is logged by epoch, training by iteration. A run that was resumed, or started anew
    in the same folder, has logged some steps twice: the later start counts from its first step on.
    """
    curve: list = []
    for path in sorted(glob.glob(os.path.join(glob.escape(work_dir), '*', 'vis_data',
                                              'scalars.json'))):
        with open(path) as file:
            lines = [json.loads(line) for line in file if line.strip().endswith('}')]
        points = [(line['step'], line[key]) for line in lines if key in line]
        if points:
            curve = [point for point in curve if point[0] < points[0][0]] + points
    return curve


def read_metrics(work_dir: str, step: int) -> dict:
    """AP, AP50, AP75, AP_S, AP_M and AP_L in percent of a detector's run, as far as it has them.

    Args:
        work_dir (str): The run's.
        step (int): Its last epoch. What was logged last is left out if it is of another one.
    """
    curves = {key: read_curve(work_dir, key) for keys in METRICS.values() for key in keys}
    return in_percent({key: curve[-1][1] for key, curve in curves.items()
                       if curve and curve[-1][0] == step})


def in_percent(logged: dict) -> dict:
    """AP, AP50, … in percent of metrics under mmdet's names, in parts of 1; -1 becomes None."""
    metrics = {}
    for name, keys in METRICS.items():
        for key in keys:
            if key in logged:
                value = logged[key]  # COCO says -1 where there is nothing to find
                metrics[name] = 100 * value if value >= 0 else None
    return metrics


def provenance(command: str, seed: int | None) -> dict:
    """What every number has to name: command, commit, seed, hardware; besides versions and date."""
    # Installed into someone's environment, the package may lie in a repository that is not ours.
    commit = _git('rev-parse', 'HEAD') if _is_root(_git('rev-parse', '--show-toplevel')) else ''
    return dict(
        command=command,
        commit=commit or 'unknown',
        dirty=bool(_git('status', '--porcelain', '--untracked-files=no')) if commit else None,
        seed=seed,
        hardware=dict(
            cpu=_cpu(),
            cores=os.cpu_count(),
            gpu=[torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]),
        torch=torch.__version__,
        python=platform.python_version(),
        date=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'))


def _cells(rows: Sequence[dict]) -> tuple:
    columns = [key for key in COLUMNS if any(row.get(key) is not None for row in rows)]
    heads = [COLUMNS[key][0] for key in columns]
    return heads, [[ABSENT if row.get(key) is None else COLUMNS[key][1].format(row[key])
                    for key in columns] for row in rows]


def _origins(rows: Sequence[dict]) -> list:
    """Where each row came from, as Markdown."""
    lines = []
    for row in rows:
        parts = []
        if row.get('checkpoint_sha256'):
            parts.append(f'checkpoint SHA-256 `{row["checkpoint_sha256"]}`')
        if row.get('commit'):
            parts.append(f'commit `{row["commit"]}`{" with changes" if row.get("dirty") else ""}')
        if row.get('seed') is not None:
            parts.append(f'seed {row["seed"]}')
        if row.get('hardware'):
            parts.append(hardware_of(row['hardware']))
        if row.get('command'):
            parts.append(f'`{row["command"]}`')
        if parts:
            lines.append(f'- **{row.get("name", "")}**: {"; ".join(parts)}')
    return ['## Where the numbers come from', '', *lines] if lines else []


def hardware_of(hardware) -> str:
    """The hardware of :func:`provenance` in a few words."""
    if not isinstance(hardware, dict):
        return str(hardware)
    gpus = hardware.get('gpu') or []
    return (f'{len(gpus)} × {gpus[0]}' if gpus else
            f'{hardware.get("cores")} cores of {hardware.get("cpu")}')


def _cpu() -> str:
    try:
        with open('/proc/cpuinfo') as file:
            for line in file:
                if line.startswith('model name'):
                    return line.partition(':')[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _is_root(folder: str) -> bool:
    return bool(folder) and os.path.realpath(folder) == os.path.realpath(ROOT)


def _git(*args: str) -> str:
    try:
        done = subprocess.run(['git', *args], cwd=ROOT, capture_output=True, text=True,
                              timeout=20)
    except (OSError, subprocess.TimeoutExpired):  # no git: an installed package, say
        return ''
    return done.stdout.strip() if done.returncode == 0 else ''
