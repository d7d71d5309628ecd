"""Whether a lever changes what is learnt: loss curves on real images, beside float32's from other seeds.

Usage::

    python benchmarks/loss_curve.py DATA --out curve.json [--steps 200] [--variants fp32 amp amp+channels_last+fold_bn]

DATA has one folder of images per class (tools/prepare_demo_data.py writes digits, tools/dataset_converters/
cifar100_to_folder.py images of CIFAR-100). A ResNet-18 teacher with branches is trained on them first, in float32, then
a narrower student by HSAKD in each variant: from the same weights, on the same batches. The noise is what
float32 differs by when it runs again, and with another seed (other weights and batches).
"""

import argparse
import json
import os
import statistics
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import torch
from mmengine.config import Config
from torch import Tensor

import hsakd_mm  # noqa: F401
from benchmarks.origin import origin
from benchmarks.timing import Phases
from benchmarks.variants import Networks, parse, set_precision
from hsakd_mm.datasets.image_folder import ImageFolder
from hsakd_mm.engine.launch import user_errors
from hsakd_mm.files import write_json
from hsakd_mm.registry import MODELS

PREPROCESSOR = dict(type='ImagePreprocessor', mean=[127.5] * 3, std=[64.0] * 3)


def read_images(folder: str) -> tuple[Tensor, Tensor, int]:
    """All images, ``uint8 [I, 3, 32, 32]``, their labels, and the number of classes."""
    pipeline = [dict(type='LoadImage'), dict(type='torchvision/Resize', size=(32, 32)), dict(type='PackInputs')]
    dataset = ImageFolder(folder, pipeline=pipeline, non_rgb='convert', verify=False)
    samples = [dataset[index] for index in range(len(dataset))]
    images = torch.stack([sample['inputs'] for sample in samples])
    return images, torch.tensor([sample['labels'] for sample in samples]), len(dataset.metainfo['classes'])


def net(classes: int, width: int) -> dict:
    channels = [width, 2 * width, 4 * width, 8 * width]
    return dict(type='TimmBackbone', model_name='resnet18', num_classes=classes, channels=channels)


def config(classes: int, lr: float, width: int) -> Config:
    teacher = dict(type='HSAKDTeacher', data_preprocessor=PREPROCESSOR, backbone=net(classes, 2 * width))
    return Config(
        dict(
            model=dict(type='HSAKD', data_preprocessor=PREPROCESSOR, backbone=net(classes, width)),
            default_hooks=dict(distillation=dict(type='DistillationHook', checkpoint='', teacher=teacher)),
            optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=lr, momentum=0.9, weight_decay=1e-4)),
        )
    )


def batches(images: Tensor, labels: Tensor, batch: int, steps: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        rows = torch.randint(len(images), (batch,), generator=generator)
        yield images[rows], labels[rows]


def train_teacher(cfg: Config, data: tuple, batch: int, steps: int, device: str) -> dict:
    """The state dict of a teacher trained in float32, on the CPU."""
    torch.manual_seed(100)
    teacher = MODELS.build(dict(cfg.default_hooks.distillation.teacher)).to(device).train()
    optimizer = torch.optim.SGD(teacher.parameters(), lr=0.05, momentum=0.9)
    for images, labels in batches(*data, batch, steps, 100):
        made = teacher.data_preprocessor(dict(inputs=images, labels=labels), True)
        loss, _ = teacher.parse_losses(teacher.loss(**made))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {name: value.cpu() for name, value in teacher.state_dict().items()}


def curve(cfg: Config, weights: dict, variant: str, seed: int, data: tuple, args, device: str) -> list:
    torch.manual_seed(seed)
    nets = Networks(cfg, random_teacher=True)
    nets.teacher.load_state_dict(weights)
    set_precision(parse(variant)[0])
    step = nets.ours(variant, device, Phases(device))
    losses = [step(*each)['loss'].detach() for each in batches(*data, args.batch, args.steps, seed)]
    return [round(float(loss), 5) for loss in losses]  # read once: no step waits for the device


def apart(one: list, other: list) -> float:
    """Mean difference of two curves, in parts of their mean, after smoothing over ten steps."""
    smooth = [[statistics.fmean(each[start : start + 10]) for start in range(len(each) - 9)] for each in (one, other)]
    return statistics.fmean(abs(a - b) for a, b in zip(*smooth)) / statistics.fmean(smooth[0])


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('data', help='one folder of images per class')
    levers = 'amp+channels_last+fold_bn+fused'
    parser.add_argument('--variants', nargs='+', default=['tf32', 'amp', levers, f'{levers}+compile'])
    parser.add_argument('--steps', type=int, default=200)
    parser.add_argument('--batch', type=int, default=64)
    parser.add_argument('--width', type=int, default=32, help="channels of the student's first stage")
    parser.add_argument('--out', required=True, metavar='FILE')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    *data, classes = read_images(args.data)
    data = tuple(data)
    cfg = config(classes, 0.02, args.width)
    set_precision('fp32')
    weights = train_teacher(cfg, data, args.batch, args.steps, device)
    curves = {}
    noise = [('fp32', 'fp32', 0), ('fp32 again', 'fp32', 0), ('fp32, seed 1', 'fp32', 1)]
    for name, variant, seed in [*noise, *((variant, variant, 0) for variant in args.variants)]:
        curves[name] = curve(cfg, weights, variant, seed, data, args, device)
        print(f'{name:40} first {curves[name][0]:.3f} last ten {statistics.fmean(curves[name][-10:]):.4f}', flush=True)
        report = dict(
            origin(),
            data=f'{len(data[0])} images of {classes} classes in {args.data}, at 32 px',
            steps=args.steps,
            batch=args.batch,
            apart_from_fp32={key: round(apart(curves['fp32'], each), 5) for key, each in curves.items()},
            last_ten={key: round(statistics.fmean(each[-10:]), 5) for key, each in curves.items()},
            curves=curves,
        )
        write_json(args.out, report)
    print(json.dumps(report['apart_from_fp32'], indent=1))


if __name__ == '__main__':
    with user_errors():
        main()
