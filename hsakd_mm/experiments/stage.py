"""A stage of an experiment: one command of ``tools/``, run once.

What a stage has finished is written to ``stage.json`` in its folder, together with a fingerprint of what it was made
from: a second call skips what is done, resumes what was interrupted, and repeats what a changed config or checkpoint
has outdated.
"""

import hashlib
import os
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from mmengine.config import Config

from hsakd_mm.checkpoints.loading import sha256
from hsakd_mm.files import read_json, write_json

from .child import RunFailed, run_child
from .outdated import move_outdated_aside


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
        needs (Sequence[Step]): See :class:`~.schedule.Step`.
    """

    folder: str
    title: str
    command: Sequence[str]
    produces: str
    configs: Sequence[str] = ()
    inputs: Sequence[str] = ()
    always: bool = False
    needs: Sequence = ()

    @property
    def name(self) -> str:
        return self.title

    def is_done(self) -> bool:
        """Whether an earlier call finished it. A stage that always runs is never done."""
        return not self.always and self.is_up_to_date()

    def is_up_to_date(self) -> bool:
        """Whether its product is there, made from what the stage is made from now."""
        record = self.read_record()
        if not (record.get('done') and os.path.exists(self.produces) and all(map(os.path.exists, self.inputs))):
            return False
        return record['fingerprint'] == self._fingerprint()

    @property
    def seconds(self) -> float:
        """Duration so far, of all its starts."""
        return self.read_record().get('seconds', 0.0)

    def read_record(self) -> dict:
        """``fingerprint``, ``done``, ``seconds``, ``command``; empty where it has not run."""
        return read_json(self.folder, 'stage.json')

    def run(self) -> None:
        """Do what is left to do.

        Raises:
            RunFailed: The command failed.
            UserError: Another process runs the stage, with other settings.
        """
        record, fingerprint = self.read_record(), self._fingerprint()
        if record and record['fingerprint'] != fingerprint:
            move_outdated_aside(self.folder)
            record = {}
        finished, before = self.is_up_to_date(), record.get('seconds', 0.0)
        shown = shlex.join(['python', *self.command])
        print(f'  {shown}', flush=True)

        def write(done: bool, seconds: float) -> None:
            content = dict(fingerprint=fingerprint, done=done, seconds=seconds, command=shown)
            write_json(os.path.join(self.folder, 'stage.json'), content)

        if not finished:
            write(False, before)  # so that a killed stage is known for what it was
        started, done = time.monotonic(), False
        try:
            run_child([sys.executable, *self.command], self.title, os.path.join(self.folder, 'output.log'))
            if not os.path.exists(self.produces):
                raise RunFailed(f'{self.produces} was expected from `{shown}`, which did not write it')
            done = True
        finally:
            write(done, before if finished else before + time.monotonic() - started)

    def _fingerprint(self) -> str:
        parts = list(self.command)
        parts += [Config.fromfile(config).pretty_text for config in self.configs]
        parts += [sha256(path) for path in self.inputs]
        return hashlib.sha256('\n'.join(parts).encode()).hexdigest()
