"""Convert a checkpoint of the HSAKD authors or of RepDistiller to a training checkpoint, or back.

python tools/model_converters/hsakd.py FILE CONFIG OUT
python tools/model_converters/hsakd.py --reverse CHECKPOINT CONFIG OUT
"""

import argparse
import os
import sys
from collections.abc import Mapping

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import torch
from torch import Tensor, nn

import hsakd_mm  # noqa: F401  patches mmengine before it is used
from hsakd_mm.checkpoints.loading import load_checkpoint, load_strict, sha256
from hsakd_mm.checkpoints.reading_files import read_file
from hsakd_mm.checkpoints.upstream import from_upstream, to_upstream
from hsakd_mm.engine.launch import user_errors
from hsakd_mm.engine.preflight import load_config
from hsakd_mm.errors import UserError
from hsakd_mm.files import write_atomically
from hsakd_mm.models.branches import TailBranches
from hsakd_mm.registry import MODELS

# The key of the weights in a file, and what to add to its ``epoch`` for the number of epochs trained:
# winycg/HSAKD counts from 0, RepDistiller from 1.
PLACES = {'net': 1, 'model': 0, 'state_dict': 0}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('file', help='their file; with --reverse a training checkpoint')
    parser.add_argument('config', help='config of the same network; every weight has to fit')
    parser.add_argument('out', help='file to write')
    parser.add_argument('--reverse', action='store_true', help='from our names to theirs')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if os.path.realpath(args.file) == os.path.realpath(args.out):
        raise UserError(f'the conversion would overwrite its own input {args.file}: give OUT another name.')
    cfg = load_config(args.config, needs=('model',))
    content, tensors = (reverse if args.reverse else convert)(args.file, args.config, cfg)
    write_atomically(args.out, lambda file: torch.save(content, file))
    print(f'{tensors} tensors of {args.file}\n{sha256(args.out)}  {args.out}')


def convert(path: str, config: str, cfg) -> tuple[dict, int]:
    """Their file as ``dict(meta, state_dict)``, which has to match the config's model exactly."""
    weights, epoch = read(path)
    weights = from_upstream(weights)
    load_strict(MODELS.build(cfg.model), weights, source=path, what=f'model of {config}')
    meta = dict(cfg=cfg.pretty_text, source=os.path.basename(path), source_sha256=sha256(path))
    if epoch is not None:
        meta['epoch'] = epoch
    return dict(meta=meta, state_dict=weights), len(weights)


def reverse(path: str, config: str, cfg) -> tuple[dict, int]:
    """A training checkpoint as ``dict(net, epoch)``, the format of winycg/HSAKD's files."""
    content = load_checkpoint(path)
    weights, epoch = content['state_dict'], (content.get('meta') or {}).get('epoch')
    model = MODELS.build(cfg.model)
    load_strict(model, weights, source=path, what=f'model of {config}')
    require_tails(model, config)
    weights = to_upstream(weights)
    return dict(net=weights, **({} if epoch is None else {'epoch': epoch - 1})), len(weights)


def read(path: str) -> tuple[dict, int | None]:
    """Weights and number of epochs trained (None if unknown) of one of their files."""
    if not os.path.isfile(path):
        raise UserError(f'a file of weights was expected at {path}, and there is none: check the path.')
    content = read_file(path)
    place = next(
        (name for name in PLACES if isinstance(content, Mapping) and isinstance(content.get(name), Mapping)), None
    )
    weights = content[place] if place else content
    if (
        not isinstance(weights, Mapping)
        or not weights
        or not all(isinstance(value, Tensor) for value in weights.values())
    ):
        raise UserError(
            f'a state dict was expected in {path}, by itself or under '
            f'{", ".join(PLACES)}, and there is none: name a file of winycg/HSAKD or '
            f'RepDistiller.'
        )
    epoch = content.get('epoch') if place else None
    return weights, None if epoch is None else int(epoch) + PLACES[place]


def require_tails(model: nn.Module, config: str) -> None:
    for module in model.modules():
        branches = getattr(module, 'branches', None)
        if branches is not None and not isinstance(branches, TailBranches):
            raise UserError(
                f'winycg/HSAKD has one kind of branches, TailBranches, and {config} has '
                f'{type(branches).__name__}: such a checkpoint cannot be converted.'
            )


if __name__ == '__main__':
    with user_errors():
        main()
