"""Images per second that the data pipeline delivers, by number of workers: ours, torchvision's, timm's.

Usage::

    python benchmarks/benchmark_loader.py [--data FOLDER] [--workers 1 8 16] [--demand 1500] --out loader.json

FOLDER has one folder of images per class. Without it, JPEGs are made of random fields: 500 x 375 pixels and about
110 kB, as ImageNet's are on average. All three crop a random part to 224 pixels (bilinear) and mirror; ours and timm's
deliver uint8, torchvision's ``ImageFolder`` pipeline normalised float32, as the authors' loader does. The pages are in
the file cache: no disk is measured.
"""

import argparse
import os
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import datasets, transforms

import hsakd_mm  # noqa: F401
from benchmarks.origin import origin
from hsakd_mm.datasets.image_folder import ImageFolder
from hsakd_mm.engine.launch import user_errors
from hsakd_mm.files import write_json


def make_jpegs(folder: str, count: int) -> None:
    """Random fields with coarse and fine structure, in two class folders."""
    generator = np.random.default_rng(0)
    for number in range(count):
        field = np.zeros((375, 500, 3))
        for cells, height in ((4, 80), (16, 40), (64, 20), (250, 14), (500, 22)):
            noise = generator.normal(0, 1, (cells * 3 // 4, cells, 3)).clip(-3, 3)
            noise = ((noise + 3) / 6 * 255).astype(np.uint8)
            field += (
                (np.asarray(Image.fromarray(noise).resize((500, 375), Image.Resampling.BICUBIC)) - 127.5) / 85 * height
            )
        path = os.path.join(folder, f'class{number % 2}', f'{number:04}.jpg')
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Image.fromarray((field + 127.5).clip(0, 255).astype(np.uint8)).save(path, quality=92)


def ours(folder: str, size: int) -> Dataset:
    pipeline = [
        dict(type='LoadImage'),
        dict(type='torchvision/RandomResizedCrop', size=size),
        dict(type='torchvision/RandomHorizontalFlip'),
        dict(type='PackInputs'),
    ]
    return ImageFolder(folder, pipeline=pipeline, non_rgb='convert', verify=False)


def torchvisions(folder: str, size: int) -> Dataset:
    pipeline = [
        transforms.RandomResizedCrop(size),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    ]
    return datasets.ImageFolder(folder, transforms.Compose(pipeline))


def timms(folder: str, size: int) -> Dataset:
    from timm.data import ImageDataset, create_transform

    transform = create_transform(
        size, is_training=True, use_prefetcher=True, color_jitter=None, interpolation='bilinear', hflip=0.5
    )
    return ImageDataset(folder, transform=transform)


class Repeated(Dataset):
    """A small set, as if it were long: no worker waits for the end of an epoch."""

    def __init__(self, dataset: Dataset, length: int) -> None:
        self.dataset, self.length = dataset, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int):
        return self.dataset[index % len(self.dataset)]


def rate(dataset: Dataset, workers: int, batch: int, seconds: float, collate) -> float:
    """Images per second after the workers have started and delivered twice."""
    options = dict(collate_fn=collate, shuffle=True, drop_last=True, prefetch_factor=2 if workers else None)
    loader = DataLoader(Repeated(dataset, 10**6), batch_size=batch, num_workers=workers, **options)
    batches = iter(loader)
    for _ in range(2 * max(workers, 1)):
        next(batches)
    begun, images = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        next(batches)
        images += batch
    taken = time.perf_counter() - begun
    del batches
    return images / taken


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--data', metavar='FOLDER', help='one folder of images per class')
    parser.add_argument('--images', type=int, default=512, help='number of JPEGs to make')
    parser.add_argument('--workers', type=int, nargs='+', default=[1, os.cpu_count() or 1])
    parser.add_argument('--batch', type=int, default=32)
    parser.add_argument('--size', type=int, default=224)
    parser.add_argument('--seconds', type=float, default=5.0, help='of each measurement')
    parser.add_argument('--demand', type=float, help='images/s of the step: benchmarks/benchmark_step.py measures it')
    parser.add_argument('--out', required=True, metavar='FILE')
    return parser.parse_args()


def main() -> None:
    from timm.data.loader import fast_collate

    args = parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as made:
        folder = args.data or made
        if not args.data:
            make_jpegs(made, args.images)
        files = [os.path.join(root, name) for root, _, names in os.walk(folder) for name in names]
        size = sum(map(os.path.getsize, files)) / len(files)
        pipelines = dict(ours=(ours, None), torchvision=(torchvisions, None), timm=(timms, fast_collate))
        rates: dict = {name: {} for name in pipelines}
        report = dict(
            origin(),
            data=args.data or 'random fields of 500 x 375 pixels',
            files=len(files),
            **{'bytes of a file': round(size), 'images/s by workers': rates},
        )
        for workers in args.workers:
            for name, (make, collate) in pipelines.items():
                found = rate(make(folder, args.size), workers, args.batch, args.seconds, collate)
                rates[name][workers] = round(found, 1)
                print(
                    f'{name:12} {workers:3} workers {found:8.1f} images/s, {found / max(workers, 1):7.1f} a worker',
                    flush=True,
                )
                compare(report, args.demand)
                write_json(args.out, report)  # each time: a run that is cut off leaves what it has


def compare(report: dict, demand: float | None) -> None:
    """Say in the report whether the loader delivers twice what the step takes."""
    if demand is None:
        return
    best = max(report['images/s by workers']['ours'].values())
    report['demand of the step, images/s'] = demand
    report['twice the demand'] = best >= 2 * demand
    report.pop('what to change', None)
    if best < 2 * demand:
        report['what to change'] = (
            f'{best:.0f} images/s are less than twice the {demand:.0f} that the step takes: give train_dataloader more '
            f'workers on more cores, or store the images at a smaller size.'
        )


if __name__ == '__main__':
    with user_errors():
        main()
