"""Where a number came from: command, commit, seed, hardware, versions, date; and the config of its run."""

import datetime
import hashlib
import json
import os
import platform
import shlex
import subprocess
import sys

import torch
from mmengine.config import Config

TYPED = 'HSAKD_MM_COMMAND'  # set by what starts several processes of one run
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


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
            gpu=[torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        ),
        torch=torch.__version__,
        python=platform.python_version(),
        date=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'),
    )


def hash_of_config(cfg: Config, needed: dict | None = None) -> str:
    """SHA-256 of all that a config says, its bases and the command line's changes included.

    Args:
        cfg (Config): Not its text, whose line breaks depend on the version of yapf.
        needed (dict[str, str], optional): Options that get the checkpoint of another run, and the hash of its config.
    """
    text = json.dumps([cfg.to_dict(), needed or {}], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def typed_command() -> str:
    """This process's command line, as it can be typed again; of a launcher's worker, the launcher's."""
    if TYPED in os.environ:
        return os.environ[TYPED]
    tool, *arguments = sys.argv
    first = tool.split() if tool.startswith('hsakd-mm ') else ['python', _from_here(tool)]
    return shlex.join([*first, *arguments])


def _from_here(path: str) -> str:
    """``tools/x.py`` of this checkout, as the README has it, wherever the command was given."""
    inside = os.path.relpath(os.path.realpath(path), os.path.realpath(ROOT))
    return path if inside.startswith(os.pardir) else inside


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
        done = subprocess.run(['git', *args], cwd=ROOT, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):  # no git: an installed package, say
        return ''
    return done.stdout.strip() if done.returncode == 0 else ''
