"""What the demo does, in order: data, teacher, students, exports, detectors."""

import os

from mmengine.config import Config

from .stage import Stage

DATA_ROOT = 'data/demo'
DETECTOR = 'configs/demo/faster_rcnn.py'
STUDENTS = ('hsakd', 'plain')

# --smoke: every stage for one epoch on a few pictures. A teacher of one epoch is no better than
# chance, so that the check which would stop it is off.
_FEW = ['train_cfg.max_epochs=1', 'train_dataloader.dataset.indices=64', 'val_dataloader.dataset.indices=64']
_SMOKE = dict(
    teacher=_FEW,
    plain=_FEW,
    hsakd=[*_FEW, 'default_hooks.distillation.check=False'],
    detector=['train_cfg.max_epochs=1', 'train_dataloader.dataset.indices=8', 'val_dataloader.dataset.indices=16'],
)


class Plan:
    """The demo's stages, by name, in :attr:`stages`.

    Args:
        smoke (bool): Only see that everything runs; the numbers mean nothing.
    """

    def __init__(self, smoke: bool = False) -> None:
        self.smoke = smoke
        self.work_dir = 'work_dirs/demo_smoke' if smoke else 'work_dirs/demo'
        self.stages: dict = {}
        manifest = os.path.join(DATA_ROOT, 'manifest.json')
        self._add(
            'data', 'digits and digit scenes', ['tools/prepare_demo_data.py', '--out', DATA_ROOT], manifest, always=True
        )
        self._train('teacher', 'teacher: backbone and branches', [manifest])
        self._train(
            'hsakd',
            'student by HSAKD',
            [manifest, self.checkpoint('teacher')],
            [f'default_hooks.distillation.checkpoint={self.checkpoint("teacher")}'],
        )
        self._train('plain', 'the same student, plainly', [manifest])
        for name in STUDENTS:
            self._test(name)
            self._export(name)
        for name in ('random', *STUDENTS):
            self._detect(name, manifest)

    def folder(self, name: str) -> str:
        return os.path.join(self.work_dir, name)

    def checkpoint(self, name: str) -> str:
        """That of the last epoch: none is chosen by the data that it is judged on."""
        epochs = 1 if self.smoke else Config.fromfile(_config(name)).train_cfg.max_epochs
        return os.path.join(self.folder(name), f'epoch_{epochs}.pth')

    def backbone(self, name: str) -> str:
        return os.path.join(self.folder(f'{name}_export'), 'backbone.pth')

    def _add(self, name: str, *args, **kwargs) -> None:
        self.stages[name] = Stage(self.folder(name), *args, **kwargs)

    def _train(self, name: str, title: str, inputs: list, options: list = ()) -> None:
        command = ['tools/train.py', _config(name), '--work-dir', self.folder(name), '--resume']
        self._add(
            name, title, [*command, *self._options(name, options)], self.checkpoint(name), [_config(name)], inputs
        )

    def _test(self, name: str) -> None:
        folder = self.folder(f'{name}_test')
        out = os.path.join(folder, 'metrics.json')
        self._add(
            f'{name}_test',
            f'top-1 of {name} on the test digits',
            ['tools/test.py', _config(name), self.checkpoint(name), '--out', out, '--work-dir', folder],
            out,
            [_config(name)],
            [self.checkpoint(name)],
        )

    def _export(self, name: str) -> None:
        out = self.backbone(name)
        self._add(
            f'{name}_export',
            f'export of the {name} backbone',
            ['tools/export_backbone.py', self.checkpoint(name), '--out', out],
            out,
            inputs=[self.checkpoint(name)],
        )

    def _detect(self, name: str, manifest: str) -> None:
        folder = self.folder(f'det_{name}')
        source = name if name == 'random' else self.backbone(name)
        options = [f'val_evaluator.outfile_prefix={folder}/detections']
        self._add(
            f'det_{name}',
            f'Faster R-CNN from {name}',
            [
                'tools/transfer_det.py',
                source,
                DETECTOR,
                '--work-dir',
                folder,
                '--resume',
                *self._options('detector', options),
            ],
            os.path.join(folder, 'report.json'),
            [DETECTOR],
            [manifest] + ([source] if name != 'random' else []),
        )

    def _options(self, name: str, options: list) -> list:
        options = [*options, *(_SMOKE[name] if self.smoke else ())]
        return ['--cfg-options', *options] if options else []


def _config(name: str) -> str:
    return f'configs/demo/{name}.py'
