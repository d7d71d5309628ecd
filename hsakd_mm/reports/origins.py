"""Where the numbers of a report come from: command, commit, torch, hardware, checkpoint."""

from collections.abc import Sequence

from .page import Table, escaped

ABSENT = '–'


def origin_items(runs: Sequence[dict]) -> list[str]:
    """One line of Markdown for each set of runs with the same origin: the runs, then the origin.

    Args:
        runs (list[dict]): ``name``, ``seed``, and as far as known ``command``, ``commit``, ``dirty``, ``torch``,
            ``hardware``, ``threads``, ``annotations`` (SHA-256 by path) and ``frozen``.
    """
    shared: dict = {}
    for run in runs:
        changed = ' with changes' if run.get('dirty') else ''
        parts = [
            f'`{run["command"]}`' if run.get('command') else '',
            f'commit `{run["commit"]}`{changed}' if run.get('commit') else '',
            f'torch {run["torch"]}' if run.get('torch') else '',
            _hardware(run['hardware']) if run.get('hardware') else '',
            f'threads per process: {run["threads"]}' if run.get('threads') else '',
            _annotations(run.get('annotations') or {}),
            str(run.get('frozen') or '').rstrip('.'),
        ]
        seeds = shared.setdefault('; '.join(filter(None, parts)), {}).setdefault(run['name'], [])
        seeds += [str(run['seed'])] if run.get('seed') is not None else []
    return [
        f'{", ".join(_with_seeds(*pair) for pair in names.items())}: {how or "nothing was recorded"}'
        for how, names in shared.items()
    ]


def checkpoint_table(runs: Sequence[dict], measure: str) -> Table:
    """The figure of each run, and the checkpoint that it started from."""
    rows = []
    for run in runs:
        sha256, value = run.get('checkpoint_sha256'), run.get(measure)
        figure = ABSENT if value is None else f'{value:.2f}'
        rows.append([run['name'], str(run.get('seed', ABSENT)), figure, f'`{sha256}`' if sha256 else ABSENT])
    return Table(['Run', 'Seed', measure, 'Checkpoint SHA-256'], rows)


def _with_seeds(name: str, seeds: Sequence[str]) -> str:
    return f'{escaped(name)} (seed {", ".join(seeds)})' if seeds else escaped(name)


def _annotations(sums: dict) -> str:
    listed = ', '.join(f'`{path}` {digest}' for path, digest in sums.items())
    return f'SHA-256 of the annotations: {listed}' if sums else ''


def _hardware(hardware: dict | str) -> str:
    if not isinstance(hardware, dict):
        return str(hardware)
    gpus = hardware.get('gpu') or []
    return f'{len(gpus)} × {gpus[0]}' if gpus else f'{hardware.get("cores")} cores of {hardware.get("cpu")}'
