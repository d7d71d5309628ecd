"""Running the tools as a user does."""

import importlib.util
import os
import subprocess
from pathlib import Path

from tests.tools.prestarted import prestarted

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / 'tests' / 'tools' / 'tiny_config.py'


def environment(**more) -> dict:
    """This process's environment without what a launcher or a test run may have left in it.

    One thread: tests run side by side, and threads that wait for a busy core cost more than they do.
    """
    left = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT', 'VIRTUAL_ENV', 'HSAKD_MM_TRACEBACK')
    env = {key: value for key, value in os.environ.items() if key not in left}
    return {
        **env,
        'PYTHONPATH': str(ROOT),
        'PYTHON': prestarted(),
        'CUDA_VISIBLE_DEVICES': '',
        'OMP_NUM_THREADS': '1',
        **{key: str(value) for key, value in more.items()},
    }


def run(*command, cwd, timeout=120, **env) -> subprocess.CompletedProcess:
    """Run a command to its end; ``stdout`` and ``stderr`` are text."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment(**env),
        timeout=timeout,
        capture_output=True,
        text=True,
    )


def python(*args, cwd, **options) -> subprocess.CompletedProcess:
    """A script of ours, in an interpreter whose imports are done; see :mod:`tests.tools.prestarted`."""
    return run(prestarted(), *args, cwd=cwd, **options)


def module(path: Path):
    """A tool, imported."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


def bash(script: str, *args, cwd, **options) -> subprocess.CompletedProcess:
    return run('bash', ROOT / 'tools' / script, *args, cwd=cwd, **options)


def make_command(folder: Path, name: str, text: str) -> None:
    """A command ``name`` in ``folder``, of the Bash lines ``text``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f'#!/bin/bash\n{text}\n')
    (folder / name).chmod(0o755)


def assert_sentence(done: subprocess.CompletedProcess, *words: str) -> None:
    """Ended with status 2 and exactly one ``error:`` line, which holds ``words``; no traceback."""
    everything = done.stdout + done.stderr
    assert done.returncode == 2, everything
    assert 'Traceback' not in everything, everything
    errors = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert len(errors) == 1, everything
    for word in words:
        assert word in errors[0], errors[0]
