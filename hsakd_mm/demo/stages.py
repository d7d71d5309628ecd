"""The demo's stages, each a command of the full-scale runs.

Each stage is one command of ``tools/``. What a stage has finished is written to ``stage.json`` in
its folder, together with a fingerprint of what it was made from, so that a second call skips what
is done, resumes what was interrupted and repeats what a changed config or checkpoint has outdated.
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

from hsakd_mm.checkpoint import sha256

from .progress import run_logged

WORK_DIR = 'work_dirs/demo'
DATA_ROOT = 'data/demo'
DETECTOR = 'configs/demo/faster_rcnn.py'
STUDENTS = ('plain', 'hsakd')


@dataclass
class Stage:
    """One command, and what its outcome depends on.

    Args:
        name (str): Folder under the work directory.
        title (str): What the terminal calls it.
        command (list[str]): A tool and its arguments, as one would type them.
        configs (list[str]): Config files that decide the outcome.
        inputs (list[str]): Files made by earlier stages that do.
        produces (str): A file that exists when the stage is done.
        always (bool): Run it even if it is done: it checks its own work.
    """

    name: str
    title: str
    command: Sequence[str]
    configs: Sequence[str] = ()
    inputs: Sequence[str] = ()
    produces: str = ''
    always: bool = False
    seconds: float = field(default=0., init=False)

    @property
    def folder(self) -> str:
        return os.path.join(WORK_DIR, self.name)

    @property
    def shown_command(self) -> str:
        return shlex.join(['python', *self.command])

    def fingerprint(self) -> str:
        parts = [self.shown_command]
        parts += [Config.fromfile(config).pretty_text for config in self.configs]
        parts += [sha256(path) for path in self.inputs]
        return hashlib.sha256('\n'.join(parts).encode()).hexdigest()

    def run(self, position: str) -> None:
        """Do what is left to do; ``seconds`` is then what it took in all."""
        record_file = os.path.join(self.folder, 'stage.json')
        fingerprint, record = self.fingerprint(), _read_json(record_file)
        if record and record['fingerprint'] != fingerprint:
            _set_aside(self.folder)
            record = None
        finished = record and record['done'] and os.path.exists(self.produces)
        self.seconds = record['seconds'] if record else 0.
        if finished and not self.always:
            print(f'[{position}] {self.title}: done before, in {self.seconds:.0f} s', flush=True)
            return
        print(f'[{position}] {self.title}\n  {self.shown_command}', flush=True)
        started, done = time.monotonic(), False
        try:
            run_logged(self.title, [sys.executable, *self.command],
                       os.path.join(self.folder, 'output.log'))
            done = True
        finally:
            self.seconds += time.monotonic() - started
            _write_json(record_file, dict(fingerprint=fingerprint, done=done,
                                          seconds=self.seconds, command=self.shown_command))
        print(f'  done in {self.seconds:.0f} s', flush=True)


def plan() -> list:
    """Every stage from the data to the detectors, in order."""
    manifest = os.path.join(DATA_ROOT, 'manifest.json')
    prepare = Stage('data', 'digits and digit scenes',
                    ['tools/prepare_demo_data.py', '--out', DATA_ROOT], produces=manifest,
                    always=True)
    stages = [prepare, _train('teacher', 'teacher: backbone and branches', [manifest])]
    stages += [_train('hsakd', 'student by HSAKD', [manifest, last_checkpoint('teacher')]),
               _train('plain', 'the same student, plainly', [manifest])]
    for name in STUDENTS:
        stages += [_test(name), _export(name)]
    stages.append(_detect('random', 'random', [manifest]))
    stages += [_detect(name, backbone_file(name), [manifest, backbone_file(name)])
               for name in STUDENTS]
    return stages


def _train(name: str, title: str, inputs: list) -> Stage:
    folder = os.path.join(WORK_DIR, name)
    return Stage(name, title, ['tools/train.py', config_of(name), '--work-dir', folder, '--resume'],
                 [config_of(name)], inputs, produces=last_checkpoint(name))


def _test(name: str) -> Stage:
    out = os.path.join(WORK_DIR, f'{name}_test', 'metrics.json')
    return Stage(f'{name}_test', f'top-1 of {name} on the test digits',
                 ['tools/test.py', config_of(name), last_checkpoint(name), '--out', out,
                  '--work-dir', os.path.dirname(out)],
                 [config_of(name)], [last_checkpoint(name)], produces=out)


def _export(name: str) -> Stage:
    out = backbone_file(name)
    return Stage(f'{name}_export', f'export of the {name} backbone',
                 ['tools/export_backbone.py', last_checkpoint(name), '--out', out],
                 inputs=[last_checkpoint(name)], produces=out)


def _detect(name: str, source: str, inputs: list) -> Stage:
    folder = os.path.join(WORK_DIR, f'det_{name}')
    return Stage(f'det_{name}', f'Faster R-CNN from {name}',
                 ['tools/transfer_det.py', source, DETECTOR, '--work-dir', folder, '--resume',
                  '--cfg-options', f'val_evaluator.outfile_prefix={folder}/detections'],
                 [DETECTOR], inputs, produces=os.path.join(folder, 'report.json'))


def config_of(name: str) -> str:
    return f'configs/demo/{name}.py'


def last_checkpoint(name: str) -> str:
    """The checkpoint of the last epoch: none is chosen by the data that it is judged on."""
    epochs = Config.fromfile(config_of(name)).train_cfg.max_epochs
    return os.path.join(WORK_DIR, name, f'epoch_{epochs}.pth')


def backbone_file(name: str) -> str:
    return os.path.join(WORK_DIR, f'{name}_export', 'backbone.pth')


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


def _set_aside(folder: str) -> None:
    """Rename a folder whose contents are outdated; nothing of it is deleted."""
    number = 1
    while os.path.exists(aside := f'{folder}.old{number}'):
        number += 1
    os.rename(folder, aside)
    print(f'  {folder} was made from other settings: kept as {aside}', flush=True)
