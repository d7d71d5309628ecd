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
        configs (list[str]): Config files that the command names.
        inputs (list[str]): Files made by earlier stages that decide the outcome.
        always (bool): Run it even if it is done: it checks its own work.
        needs (Sequence[Step]): See :class:`~.schedule.Step`.
        settings (list[str]): What decides the outcome beside the inputs; by default the command's arguments, whose
            paths depend on the folder that it is given in.
    """

    folder: str
    title: str
    command: Sequence[str]
    produces: str
    configs: Sequence[str] = ()
    inputs: Sequence[str] = ()
    always: bool = False
    needs: Sequence = ()
    settings: Sequence[str] = ()

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
        return record['fingerprint'] in self._fingerprints()

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
        record, fingerprints = self.read_record(), self._fingerprints()
        if record and record['fingerprint'] not in fingerprints:
            move_outdated_aside(self.folder)
            record = {}
        before = record.get('seconds', 0.0)
        shown = shlex.join(['python', *self.command])
        print(f'  {shown}', flush=True)

        def write(done: bool, seconds: float) -> None:
            content = dict(fingerprint=fingerprints[0], done=done, seconds=seconds, command=shown)
            write_json(os.path.join(self.folder, 'stage.json'), content)

        finished_before = self.is_up_to_date()
        if not finished_before:
            write(False, before)  # so that a killed stage is known for what it was
        started, done = time.monotonic(), False
        try:
            run_child([sys.executable, *self.command], self.title, os.path.join(self.folder, 'output.log'))
            if not os.path.exists(self.produces):
                raise RunFailed(f'{self.produces} was expected from `{shown}`, which did not write it')
            done = True
        finally:
            record = self.read_record()
            finished = record.get('done') and record['fingerprint'] in fingerprints
            if finished_before or not finished:  # else another process has finished it meanwhile
                write(done, before if finished_before else before + time.monotonic() - started)

    def _fingerprints(self) -> tuple[str, str]:
        """Of this code, and of the code before it, which took the whole command: its records stay valid."""
        script, *arguments = self.command
        now = [os.path.basename(script), *(self.settings or arguments)]
        before = [*self.command, *(Config.fromfile(config).pretty_text for config in self.configs)]
        inputs = [sha256(path) for path in self.inputs]
        first, second = (hashlib.sha256('\n'.join([*parts, *inputs]).encode()).hexdigest() for parts in (now, before))
        return first, second
