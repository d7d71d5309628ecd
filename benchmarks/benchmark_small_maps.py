"""Convolutions with small outputs: PyTorch's own, in both layouts, against matrix products (engine/small_maps.py).

Usage::

    python benchmarks/benchmark_small_maps.py [--batch 64] [--threads 2] [--out FILE]

Milliseconds for value and both gradients of one layer, the best of repeated calls in turns, in float32 on the CPU.
"""

import argparse
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import torch
from torch import nn

from benchmarks.origin import origin
from hsakd_mm.engine import small_maps

# Channels in and out, kernel, stride, pixels of the map's side.
LAYERS = (
    (512, 512, 3, 1, 1),
    (512, 512, 3, 1, 2),
    (256, 512, 3, 2, 4),
    (256, 512, 1, 2, 4),
    (256, 256, 3, 1, 2),
    (256, 256, 3, 1, 4),
    (128, 256, 3, 2, 8),
)


class Layer:
    """A convolution with its input, computed by one of the ways."""

    def __init__(self, layer: tuple, batch: int, nhwc: bool, products: bool) -> None:
        channels, out, kernel, stride, size = layer
        memory_format = torch.channels_last if nhwc else torch.contiguous_format
        self.conv = nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False).to(memory_format=memory_format)
        if products:
            small_maps.use_matrix_products(self.conv)
        self.image = torch.randn(batch, channels, size, size).to(memory_format=memory_format).requires_grad_()
        self.gradient = torch.randn_like(self.conv(self.image))
        self.best = float('inf')

    def take(self) -> None:
        begun = time.perf_counter()
        torch.autograd.grad(self.conv(self.image), (self.image, self.conv.weight), self.gradient)
        self.best = min(self.best, 1e3 * (time.perf_counter() - begun))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--batch', type=int, default=64, help='images (default: 64, a batch of 16 in four rotations)')
    parser.add_argument('--threads', type=int, help="default: torch's")
    parser.add_argument('--rounds', type=int, default=20)
    parser.add_argument('--out', metavar='FILE', help='JSON')
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    small_maps.LARGEST_MAP, small_maps.LEAST_WORK = 8, 0  # also where they are not used
    rows = []
    for layer in LAYERS:
        torch.manual_seed(0)
        ways = {
            'NCHW': Layer(layer, args.batch, False, False),
            'NHWC': Layer(layer, args.batch, True, False),
            'matrix products': Layer(layer, args.batch, True, True),
        }
        for _ in range(args.rounds):
            for way in ways.values():
                way.take()
        channels, out, kernel, stride, size = layer
        name = f'{channels} -> {out}, {kernel}x{kernel}{"" if stride == 1 else f", stride {stride}"}, {size}x{size}'
        rows.append({'layer': name, 'ms': {way: round(each.best, 3) for way, each in ways.items()}})
        print(rows[-1], flush=True)
    if args.out:
        with open(args.out, 'w') as file:
            json.dump(dict(origin(), batch=args.batch, threads=torch.get_num_threads(), layers=rows), file, indent=1)


if __name__ == '__main__':
    main()
