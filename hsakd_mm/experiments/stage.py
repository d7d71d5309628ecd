"""A stage of the demo: one command of ``tools/``, run once.

What a stage has finished is written to ``stage.json`` in its folder, together with a fingerprint of
what it was made from, so that a second call skips what is done, resumes what was interrupted and
repeats what a changed config or checkpoint has outdated.
"""

import hashlib
import json
import os
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from mmengine.config import Config

from hsakd_mm.checkpoints.loading import sha256
from hsakd_mm.files import move_aside

from .progress import run_logged


@dataclass
class Stage:
    """One command, and what its outcome depends on.

    Args:
        folder (str): Where its record and its log go.
        title (str): What the terminal calls it.
        command (list[str]): A tool and its arguments, as one would type them after ``python``.
        produces (str): A file that exists when the stage is done.
        configs (list[str]): Config files that decide the outcome.
        inputs (list[str]): Files made by earlier stages that do.
        always (bool): Run it even if it is done: it checks its own work.
    """

    folder: str
    title: str
    command: Sequence[str]
    produces: str
    configs: Sequence[str] = ()
    inputs: Sequence[str] = ()
    always: bool = False
    seconds: float = field(default=0.0, init=False)

    def run(self, position: str) -> bool:
        """Do what is left to do, and say whether there was any; ``seconds`` is what it took in all."""
        record_file = os.path.join(self.folder, 'stage.json')
        fingerprint, record = self._fingerprint(), _read_json(record_file)
        if record and record['fingerprint'] != fingerprint:
            move_aside(self.folder)
            record = None
        finished = record and record['done'] and os.path.exists(self.produces)
        self.seconds = record['seconds'] if record else 0.0
        if finished and not self.always:
            print(f'[{position}] {self.title}: done before, in {self.seconds:.0f} s', flush=True)
            return False
        shown = shlex.join(['python', *self.command])
        print(f'[{position}] {self.title}\n  {shown}', flush=True)

        def record_as(done: bool) -> None:
            _write_json(record_file, dict(fingerprint=fingerprint, done=done, seconds=self.seconds, command=shown))

        if not finished:
            record_as(done=False)  # so that a killed stage is known for what it was
        started, done = time.monotonic(), False
        try:
            run_logged(self.title, [sys.executable, *self.command], os.path.join(self.folder, 'output.log'))
            done = True
        finally:
            spent = time.monotonic() - started
            self.seconds = self.seconds if finished else self.seconds + spent
            record_as(done)
        print(f'  done in {spent:.0f} s', flush=True)
        return True

    def _fingerprint(self) -> str:
        parts = list(self.command)
        parts += [Config.fromfile(config).pretty_text for config in self.configs]
        parts += [sha256(path) for path in self.inputs]
        return hashlib.sha256('\n'.join(parts).encode()).hexdigest()


def _read_json(path: str):
    if not os.path.isfile(path):
        return None
    with open(path) as file:
        return json.load(file)


def _write_json(path: str, content: dict) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + '.tmp', 'w') as file:
        json.dump(content, file, indent=1)
    os.replace(path + '.tmp', path)
