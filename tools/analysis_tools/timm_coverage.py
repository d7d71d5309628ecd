"""Which of timm's networks work here: the smallest architecture of each of timm's model files, tried in every role.

Usage::

    python tools/analysis_tools/timm_coverage.py [--files NAME ...] [--models NAME ...] [--out FOLDER]

Each network takes one step of HSAKD as student and one as teacher (with LightBranches), teaches a small ResNet for one
step, is exported, loaded strictly into timm's own network and compared bit for bit, and runs as TimmDetBackbone at two
sizes that are not square. Weights are random. FOLDER gets ``coverage.csv``, ``README.md`` and ``coverage.json``, after
each network anew: the same command goes on where it was stopped.
"""

import argparse
import csv
import gc
import json
import logging
import os
import shlex
import sys
import tempfile
import time
import warnings

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT)

import hsakd_mm  # noqa: F401, I001  patches mmengine and mmcv before they are used
import timm
import torch
from timm.models import is_model, list_models, list_modules, model_entrypoint
from torch import nn

from hsakd_mm.checkpoints.backbone_file import read_backbone
from hsakd_mm.checkpoints.export import export_backbone
from hsakd_mm.engine.launch import user_errors
from hsakd_mm.errors import UserError
from hsakd_mm.experiments.provenance import provenance
from hsakd_mm.files import read_json, write_atomically, write_json
from hsakd_mm.models.backbones.timm_backbone import TimmBackbone
from hsakd_mm.models.distillers.hsakd import HSAKD, HSAKDTeacher
from hsakd_mm.reports.page import table_to_markdown
from hsakd_mm.reports.speed_tables import COVERAGE, ROLES, coverage_table
from hsakd_mm.transfer.initializer import StrictPretrained
from hsakd_mm.transfer.timm_detection import TimmDetBackbone

FIELDS = (*COVERAGE, 'commit')
WORKS = 'yes'
CLASSES = 3
SIZES = (64, 96, 112, 128, 160, 192, 224, 240, 256)
DETECTION_SIZES = ((96, 160), (224, 192))  # height and width
HEAVY = 100e6  # parameters from which an image is seen in two views in place of four
IMAGES = dict(type='ImagePreprocessor', mean=[127.5] * 3, std=[64.0] * 3)
LIGHT = dict(type='LightBranches')
RESNET = dict(type='TimmBackbone', model_name='resnet10t', num_classes=CLASSES, channels=(8, 8, 16, 16))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Which of timm's networks work as student, teacher and backbone.")
    parser.add_argument('--files', nargs='+', metavar='NAME', help="timm's model files, as 'swin_transformer'; all")
    parser.add_argument('--models', nargs='+', metavar='NAME', help='these architectures in place of the smallest ones')
    parser.add_argument('--out', default='work_dirs/timm_coverage', metavar='FOLDER', help='where the results go')
    return parser.parse_args()


def smallest(file: str) -> str:
    """The architecture with the fewest parameters in one of timm's model files."""
    counts = {}
    for name in list_models(module=file):
        with torch.device('meta'):
            try:
                net = timm.create_model(name)
            except (RuntimeError, NotImplementedError):  # asks for numbers while it is built
                with torch.device('cpu'):
                    net = timm.create_model(name)
        counts[name] = sum(parameter.numel() for parameter in net.parameters())
    return min(counts, key=lambda name: (counts[name], name))


class Trial:
    """One network in all roles. Each role's method raises an exception whose text says why it does not work."""

    def __init__(self, name: str, folder: str) -> None:
        self.name, self.folder, self.exported = name, folder, ''
        self.config = dict(type='TimmBackbone', model_name=name, num_classes=CLASSES)
        net = TimmBackbone(name, num_classes=CLASSES).eval()
        self.strides, self.is_chain = net.strides, net.intermediates is None
        self.parameters = sum(parameter.numel() for parameter in net.parameters())
        self.size = self._size(net)
        self.pretext = dict(sampled=1) if self.parameters > HEAVY else {}

    @torch.no_grad()
    def _size(self, net: nn.Module) -> int:
        """The smallest image at which every tap has a width and a height of two, or else that of timm's weights."""
        for size in SIZES:
            try:
                if all(min(tap.shape[2:]) > 1 for tap in net.forward_taps(torch.zeros(1, 3, size, size))):
                    return size
            except (RuntimeError, UserError, ValueError):
                continue
        return net.timm.pretrained_cfg['input_size'][-1]

    def _build(self, method, config: dict) -> nn.Module:
        torch.manual_seed(0)
        return method(config, branches=LIGHT, pretext=self.pretext)

    def _step(self, model: nn.Module) -> None:
        model.train()
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
        losses = model.loss(torch.randn(2, 3, self.size, self.size), torch.tensor([0, 2]))
        total = sum(loss for name, loss in losses.items() if 'loss' in name)
        total.backward()
        unreached = [name for name, weight in model.named_parameters() if weight.requires_grad and weight.grad is None]
        if unreached:
            raise UserError(f'no gradient reaches {unreached[0]} and {len(unreached) - 1} other weights')
        optimizer.step()
        if not all(bool(value.isfinite().all()) for value in (total, *model.parameters())):
            raise UserError('a step gives numbers that are not finite')

    def student(self) -> None:
        student = self._build(HSAKD, self.config)
        student.attach_teacher(self._build(HSAKDTeacher, RESNET).eval().requires_grad_(False))
        self._step(student)
        self.trained = student.eval()

    def teacher(self) -> None:
        teacher = self._build(HSAKDTeacher, self.config)
        self._step(teacher)
        student = self._build(HSAKD, RESNET)
        student.attach_teacher(teacher.eval().requires_grad_(False))
        self._step(student)

    @torch.no_grad()
    def export(self) -> None:
        path = os.path.join(self.folder, 'epoch_1.pth')
        model = dict(type='HSAKD', backbone=self.config, branches=LIGHT, data_preprocessor=IMAGES)
        torch.save(dict(meta=dict(cfg=f'model = {model}', epoch=1), state_dict=self.trained.state_dict()), path)
        images = torch.randn(1, 3, self.size, self.size)
        logits = self.trained.backbone(images)
        for with_head in (True, False):
            file = self.exported = export_backbone(path, with_head=with_head).safetensors
            plain = timm.create_model(self.name, num_classes=CLASSES if with_head else 0).eval()
            plain.load_state_dict(read_backbone(file).state_dict, strict=True)
            if with_head and not torch.equal(plain(images), logits):
                raise UserError('the exported file gives other class logits in plain timm')

    @torch.no_grad()
    def detector(self) -> None:
        if not self.exported:
            raise UserError('there is no exported file')
        net = TimmDetBackbone(self.name).eval()
        StrictPretrained(self.exported)(net)
        for height, width in DETECTION_SIZES:
            for features, stride in zip(net(torch.randn(1, 3, height, width)), net.strides, strict=True):
                wanted = (height / stride, width / stride)
                # Stems without padding (Inception) lose a row or two.
                if any(abs(own - due) > 3 for own, due in zip(features.shape[2:], wanted)):
                    raise UserError(f'a map of stride {stride} has the size {tuple(features.shape[2:])}')
                if not features.isfinite().all():
                    raise UserError('a map has numbers that are not finite')


def measure(file: str, name: str) -> dict:
    """One row: what works, or why not."""
    row = dict.fromkeys(FIELDS, '') | dict(file=file, architecture=name)
    with tempfile.TemporaryDirectory() as folder:
        try:
            trial = Trial(name, folder)
        except Exception as error:
            return row | dict.fromkeys(ROLES, 'no') | dict(why=_said(error))
        row |= dict(
            parameters=f'{trial.parameters / 1e6:.1f}',
            taps='stages' if trial.is_chain else 'intermediates',
            strides=' '.join(map(str, trial.strides)),
            size=str(trial.size),
        )
        reasons = []
        for role in ROLES:
            try:
                getattr(trial, role)()
                row[role] = WORKS
            except Exception as error:
                row[role] = 'no'
                reasons.append(f'{role}: {_said(error)}')
    return row | dict(why='; '.join(reasons))


def _said(error: Exception) -> str:
    text = ' '.join(str(error).split()) or type(error).__name__
    return text if len(text) < 240 else text[:237] + '...'


def write(out: str, rows: list, command: str) -> None:
    """The table as CSV and as a page, and where it comes from as JSON."""

    def as_csv(file) -> None:
        lines = [','.join(FIELDS)]
        lines += [','.join(_quoted(row[field]) for field in FIELDS) for row in rows]
        file.write(('\n'.join(lines) + '\n').encode())

    shares = {role: sum(row[role] == WORKS for row in rows) for role in ROLES}
    origin = dict(provenance(command, 0), timm=timm.__version__, files=len(rows), works=shares)
    write_atomically(os.path.join(out, 'coverage.csv'), as_csv)
    write_json(os.path.join(out, 'coverage.json'), origin)
    write_atomically(os.path.join(out, 'README.md'), lambda file: file.write(page(rows, origin).encode()))


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\n') else text


def page(rows: list, origin: dict) -> str:
    count = max(len(rows), 1)
    commits = ' and '.join(dict.fromkeys(row['commit'][:7] for row in rows))
    share = ', '.join(
        f'{origin["works"][role]} of {len(rows)} {said} ({origin["works"][role] / count:.0%})'
        for role, said in zip(ROLES, ('as student', 'as teacher', 'exported', 'as detection backbone'))
    )
    lines = [
        '# Which timm networks work',
        '',
        f'The smallest architecture of each model file of timm {origin["timm"]}: {share}.',
        '',
        'Each takes a step of HSAKD as student and as teacher with `LightBranches`, is exported, loaded strictly into '
        "timm's own network, and runs as `TimmDetBackbone` at "
        + ' and '.join(f'{height} x {width}' for height, width in DETECTION_SIZES)
        + " pixels. Taps: `stages` of a chain of modules, which can also have `TailBranches`, or timm's "
        '`intermediates`.',
        '',
        f'`{_short(origin["command"])}`, commit {commits}, torch {origin["torch"]}; '
        f'[as a table to sort](coverage.csv), [where it comes from](coverage.json).',
        '',
        '<!-- table: coverage coverage.csv -->',
        '',
        table_to_markdown(coverage_table(rows)),
        '',
        '<!-- end of table -->',
    ]
    return '\n'.join(lines) + '\n'


def _short(command: str) -> str:
    """With the first two names of a long list."""
    words = command.split(' ')
    return command if len(words) < 12 else ' '.join(words[:5]) + ' ...'


def done_before(out: str) -> list:
    """The rows of a run of this command that was stopped, with the same timm."""
    path = os.path.join(out, 'coverage.csv')
    if read_json(out, 'coverage.json').get('timm') != timm.__version__ or not os.path.exists(path):
        return []
    with open(path, newline='') as file:
        return list(csv.DictReader(file))


def chosen(args: argparse.Namespace) -> list:
    """The networks to try: pairs of a model file and an architecture of it, or None for the smallest."""
    if args.models:
        unknown = [name for name in args.models if not is_model(name)]
        if unknown:
            raise UserError(
                f'timm {timm.__version__} has no model named {unknown[0]!r}: timm.list_models() lists them.'
            )
        return [(model_entrypoint(name).__module__.rpartition('.')[2], name) for name in args.models]
    unknown = sorted(set(args.files or ()) - set(list_modules()))
    if unknown:
        raise UserError(
            f'timm {timm.__version__} has no model file {unknown[0]!r}: it has {", ".join(list_modules())}.'
        )
    return [(file, None) for file in sorted(set(args.files or list_modules()))]


def main() -> None:
    args = parse_args()
    warnings.filterwarnings('ignore')  # timm's, of names that were replaced
    logging.disable(logging.INFO)
    wanted = chosen(args)
    rows = done_before(args.out)
    rows = [row for row in rows if {(row['file'], row['architecture']), (row['file'], None)} & set(wanted)]
    known, begun = {(row['file'], name) for row in rows for name in (row['architecture'], None)}, time.monotonic()
    waiting = [pair for pair in wanted if pair not in known]
    command = shlex.join(['python', *sys.argv])
    for number, (file, name) in enumerate(waiting):
        row = measure(file, name or smallest(file)) | dict(commit=provenance('', None)['commit'])
        gc.collect()
        rows = sorted([*rows, row], key=lambda each: (each['file'], each['architecture']))
        write(args.out, rows, command)
        left = (time.monotonic() - begun) / (number + 1) * (len(waiting) - number - 1)
        cells = ' '.join(f'{role} {row[role]}' for role in ROLES)
        print(
            f'{len(rows)}/{len(wanted)} {file}: {row["architecture"]}: {cells} {row["why"]} ({left / 60:.0f} min left)',
            flush=True,
        )
    write(args.out, rows, command)
    print(json.dumps({role: f'{sum(row[role] == WORKS for row in rows)}/{len(rows)}' for role in ROLES}))


if __name__ == '__main__':
    with user_errors():
        main()
