"""Publishes the reports of a finished bench: copies them from its work directory into a folder of the docs.

The layout: the report of the detectors in the folder itself and that of their pretraining in ``pretraining/``; without
a detector the report of the methods in the folder itself. Weights, logs and pages in HTML stay where they are.
"""

import contextlib
import os
import shutil

from hsakd_mm.checkpoints.source import RANDOM
from hsakd_mm.engine.preflight import load_config
from hsakd_mm.errors import UserError
from hsakd_mm.files import read_json, write_json
from hsakd_mm.reports.methods import blocks
from hsakd_mm.reports.page import Picture
from hsakd_mm.reports.published import is_comparison

from .bench import Bench
from .bench_detectors import detector_config, detector_folder, detector_seeds, pretraining_seed
from .detector_run import NEEDS
from .provenance import hash_of_config

PRETRAINING = 'pretraining'


def publish(file: str, folder: str, root: str) -> list[str]:
    """Copy the reports of a bench that is finished by the configs of the repository.

    Args:
        file (str): The bench file.
        folder (str): Below the repository's ``docs``.
        root (str): The repository, the current folder.

    Returns:
        list[str]: The JSON files that were written.

    Raises:
        UserError: A run is unfinished, its config is not the repository's, it was made by changed code, it started
            from another pretraining than the report's, or a picture is missing.
    """
    for path, where in ((file, ''), (folder, 'docs')):
        below = os.path.relpath(path, os.path.join(root, where))
        if below.startswith('..') or below == '.':
            raise UserError(f'{path} should be below {os.path.join(root, where)}: choose another place.')
    bench = Bench(file)
    methods = _require(bench, bench.work_dir)
    _check_runs(
        bench, methods['runs'], 'config_sha256', {(run.name, run.seed): run.config_sha256() for run in bench.runs}
    )
    reports = {folder: (bench.work_dir, methods)}
    if bench.detector:
        source = detector_folder(bench)
        detectors = _require(bench, source)
        if failed := detectors.get('failed'):
            raise UserError(
                f'{len(failed)} runs in {source} failed, {failed[0]["name"]} (seed {failed[0]["seed"]}) among them: '
                f'run python tools/benchmark.py {file} until none does.'
            )
        names = [RANDOM, *(name for name, entry in bench.entries.items() if entry.get('row', True))]
        today = hash_of_config(load_config(detector_config(bench), needs=NEEDS))
        wanted = {(name, seed): today for name in names for seed in detector_seeds(bench)}
        _check_runs(bench, detectors['runs'], 'detector_config_sha256', wanted)
        _check_starts(bench, detectors['runs'], methods['runs'])
        reports = {folder: (source, detectors), os.path.join(folder, PRETRAINING): (bench.work_dir, methods)}
    for source, content in reports.values():
        for picture in _pictures(content):
            if not os.path.isfile(os.path.join(source, picture)):
                raise UserError(
                    f'{picture}, which the report shows, was expected in {source}, and is not there: run python '
                    f'tools/benchmark.py {file}, which draws it again.'
                )
    for target, (source, content) in reports.items():
        os.makedirs(target, exist_ok=True)
        before = read_json(target, 'report.json')
        for old in set(_pictures(before)) - set(_pictures(content)) if before else ():
            with contextlib.suppress(FileNotFoundError):
                os.remove(os.path.join(target, old))  # which this report does not have
        for picture in _pictures(content):
            shutil.copyfile(os.path.join(source, picture), os.path.join(target, picture))
        write_json(os.path.join(target, 'report.json'), dict(content, bench=os.path.relpath(file, root)))
    return [os.path.join(target, 'report.json') for target in reports]


def _require(bench: Bench, folder: str) -> dict:
    content = read_json(folder, 'report.json')
    if not content:
        raise UserError(
            f'a finished report was expected in {folder}, and there is none: run python tools/benchmark.py '
            f'{bench.file} first.'
        )
    return content


def _check_runs(bench: Bench, runs: list, key: str, wanted: dict) -> None:
    """Check that a report holds these runs, of these configs (SHA-256 by name and seed) and of committed code."""
    found, again = {(run['name'], run['seed']): run for run in runs}, f'run python tools/benchmark.py {bench.file}'
    for (name, seed), sha256 in wanted.items():
        run = found.pop((name, seed), None)
        if run is None:
            raise UserError(f'{name} (seed {seed}) of {bench.file} is not finished: {again} first.')
        if run.get(key) != sha256:
            raise UserError(
                f'the run of {name} (seed {seed}) had another config than the repository has now: undo the change, or '
                f'{again} again.'
            )
    for run in runs:
        if run.get('dirty') is not False:
            raise UserError(
                f'the run of {run["name"]} (seed {run["seed"]}) was made from a working tree with uncommitted changes, '
                f'or nothing tells from which: commit, and {again} in another --work-dir.'
            )
    if found:
        name, seed = next(iter(found))
        raise UserError(
            f'the report has {name} (seed {seed}), which is no run of {bench.file}: add its seed there, or choose '
            f'another work directory.'
        )


def _check_starts(bench: Bench, detectors: list, pretrainings: list) -> None:
    """Check that the detectors started from the checkpoints of the report of the pretraining.

    A detector's row has the SHA-256 of the checkpoint that its backbone is from; those of older versions have none.
    """
    today = {(run['name'], run['seed']): run.get('checkpoint_sha256') for run in pretrainings}
    for run in detectors:
        if run['name'] == RANDOM:
            continue
        own = bench.run_of(run['name'], pretraining_seed(bench, run['seed']))
        ours, source = today.get((own.name, own.seed)), (run.get('pretraining') or {}).get('source_sha256')
        if ours and source and ours != source:
            raise UserError(
                f'the detector of {own.name} (seed {run["seed"]}) started from another checkpoint of its pretraining '
                f'than the report there has: run python tools/benchmark.py {bench.file} until both are done.'
            )


def _pictures(content: dict) -> list:
    """The names of a report's pictures."""
    if is_comparison(content):
        return [os.path.basename(file) for file in content['pictures'].values()]
    return [os.path.basename(block.file) for block in blocks(content, '') if isinstance(block, Picture)]


def mark_outdated(folder: str, reason: str) -> list[str]:
    """Say in the JSON of the reports in a folder that today's code does not give their numbers again, and why.

    Returns:
        list[str]: The JSON files.

    Raises:
        UserError: There is none.
    """
    files = [os.path.join(folder, *part, 'report.json') for part in ((), (PRETRAINING,))]
    files = [file for file in files if os.path.exists(file)]
    if not files:
        raise UserError(f'a report.json was expected in {folder}, and there is none: check the folder.')
    for file in files:
        write_json(file, dict(read_json(file), outdated=reason))
    return files
