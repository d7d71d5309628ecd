"""Parameters and multiply-adds of a config's networks and branches, and what an image costs.

python tools/analysis_tools/get_flops.py configs/hsakd/imagenet_r34_r18.py
"""

import argparse
import copy
import os
import sys
from dataclasses import dataclass
from types import SimpleNamespace

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import torch
from mmengine.config import Config
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import hsakd_mm  # noqa: F401
from hsakd_mm.engine.launch import user_errors
from hsakd_mm.engine.options import Options
from hsakd_mm.engine.preflight import load_config
from hsakd_mm.errors import UserError
from hsakd_mm.evaluation.training_cost import train_size, training_macs
from hsakd_mm.models.backbones import StagedBackbone
from hsakd_mm.registry import MODELS

DESIGNS = ('TailBranches', 'LightBranches')


@dataclass
class Cost:
    """Of one module for one image (one view of it).

    Args:
        params (int): Learnt numbers.
        macs (int): Multiply-adds of the forward in convolutions and matrix products.
        trained (bool): Whether a gradient is computed in it.
    """

    params: int
    macs: int
    trained: bool = True


@dataclass
class NetCost:
    """A backbone, and by design its branches, a list of :class:`Cost`, or why there are none."""

    name: str
    backbone: Cost
    designs: dict


def measure(cfg: Config, size: int) -> dict:
    """What :func:`table` shows, in numbers.

    Args:
        cfg (Config): Of a training run.
        size (int): Height and width of an image in pixels.

    Returns:
        dict: ``size``; ``views`` (M, 1 without branches); ``own`` (design of the config's branches
        or None); ``nets`` and ``teachers`` (lists of :class:`NetCost`); ``training`` (multiply-adds
        of one training image by design, see :mod:`hsakd_mm.evaluation.training_cost`; None for branches that
        cannot be built); ``plain`` (the same of plain training of the first backbone).
    """
    model = _build(cfg.model)
    teacher = (cfg.get('default_hooks') or {}).get('distillation')
    teacher = teacher and _build(teacher['teacher']).requires_grad_(False)
    branched = hasattr(_nets(model)[0], 'branches')
    views = model.pretext.num_views if branched else 1
    own = type(_nets(model)[0].branches).__name__ if branched else None
    nets = _costs(model, size, views)
    teachers = _costs(teacher, size, views) if teacher else []
    training = {design: _training(cfg, design, size) for design in (nets[0].designs if branched else [None])}
    backbone = (cfg.model.get('nets') or [cfg.model])[0].backbone
    plain = training_macs(Config(dict(model=dict(type='Classifier', backbone=backbone))), size)
    return dict(size=size, views=views, own=own, nets=nets, teachers=teachers, training=training, plain=plain)


def _training(cfg: Config, design: str | None, size: int) -> float | None:
    """With these branches in all networks that have some."""
    cfg = copy.deepcopy(cfg)
    hook = (cfg.get('default_hooks') or {}).get('distillation')
    for owner in [*(cfg.model.get('nets') or [cfg.model]), *([hook.teacher] if hook else [])]:
        if design and (owner.get('branches') or {}).get('type', 'TailBranches') != design:
            owner.branches = dict(type=design)
    try:
        return training_macs(cfg, size)
    except UserError:
        return None


def _build(cfg: dict) -> nn.Module:
    model = MODELS.build(dict(cfg))
    nets = _nets(model)
    if not nets or not isinstance(getattr(nets[0], 'backbone', None), StagedBackbone):
        raise UserError(
            f'a config that trains a classification network was expected, and its '
            f'model is {type(model).__name__}, without a staged backbone: name one of '
            f'configs/baselines, configs/hsakd or configs/hssakd.'
        )
    return model


def _nets(model: nn.Module) -> list:
    if hasattr(model, 'backbone') or hasattr(model, 'branched_nets'):
        return getattr(model, 'branched_nets', [model])
    return [SimpleNamespace(backbone=backbone) for backbone in getattr(model, 'backbones', [])]


def _costs(model: nn.Module, size: int, views: int) -> list:
    nets = _nets(model)
    return [
        _cost(
            net,
            f'{type(model).__name__}{f" net{number}" if len(nets) > 1 else ""}, {_title(net.backbone)}',
            size,
            views,
        )
        for number, net in enumerate(nets, 1)
    ]


def _title(backbone: nn.Module) -> str:
    name = getattr(getattr(backbone, 'timm', None), 'pretrained_cfg', None) or {}
    return name.get('architecture') or type(backbone).__name__


def _cost(net: nn.Module, name: str, size: int, views: int) -> NetCost:
    """Shapes are all that counts, so that everything runs on the meta device, without data."""
    branches, backbone = {}, net.backbone.eval()
    if hasattr(net, 'branches'):
        own = type(net.branches).__name__
        learns = any(parameter.requires_grad for parameter in net.branches.parameters())
        for design in dict.fromkeys((*DESIGNS, own)):
            try:
                branches[design] = (
                    net.branches
                    if design == own
                    else MODELS.build(
                        dict(type=design, backbone=backbone, num_outputs=backbone.num_classes * views)
                    ).requires_grad_(learns)
                )
            except UserError as error:  # not every network has a tail that can be copied
                branches[design] = str(error)
    images = torch.empty(1, 3, size, size, device='meta')
    cost = _module_cost(backbone, images)
    with torch.no_grad():
        taps = backbone.forward_taps(images)
    return NetCost(
        name,
        cost,
        {
            design: made if isinstance(made, str) else [_module_cost(branch, tap) for branch, tap in zip(made, taps)]
            for design, made in branches.items()
        },
    )


def _module_cost(module: nn.Module, given: Tensor) -> Cost:
    parameters = list(module.parameters())
    trained = any(parameter.requires_grad for parameter in parameters)
    params = sum(parameter.numel() for parameter in parameters)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module.eval().to('meta')(given)
    return Cost(params, counter.get_total_flops() // 2, trained)


def table(costs: dict) -> str:
    """The measured costs as text."""
    lines = [
        f'Images of {costs["size"]} x {costs["size"]} pixels. In millions: parameters, and '
        f'multiply-adds of one forward in convolutions and matrix products.',
        '',
    ]
    for net in [*costs['nets'], *costs['teachers']]:
        lines += _net_rows(net, costs['own'])
    lines.append('One training image: forward and backward of a step, its views, branches and teacher included')
    plain = costs['plain']
    for design, macs in costs['training'].items():
        said = (
            'cannot be built'
            if macs is None
            else (f'{macs / 1e9:10.3f} G multiply-adds, {macs / plain:.1f} x plain training of the first backbone')
        )
        lines.append(f'  {_label(design, costs["own"]):28}{said}')
    return '\n'.join(lines)


def _label(design: str | None, own: str | None) -> str:
    return f'{design or "no branches"}{" (this config)" * (design == own)}'


def _net_rows(net: NetCost, own: str | None) -> list:
    rows = [[net.name] + [_label(design, own) for design in net.designs]]
    made = {design: costs for design, costs in net.designs.items() if not isinstance(costs, str)}
    rows.append(['  backbone = all of inference'] + [_numbers([net.backbone])] * (len(made) or 1))
    for index in range(max(map(len, made.values()), default=0)):
        rows.append([f'  branch {index + 1}'] + [_numbers(costs[index : index + 1]) for costs in made.values()])
    if made:
        rows.append(['  branches'] + [_numbers(costs) for costs in made.values()])
        rows.append(['  backbone and branches'] + [_numbers([net.backbone, *costs]) for costs in made.values()])
    rows[0][1:] = [cell for cell in rows[0][1:] if cell.split()[0] in made] or ['']
    refused = [f'  {design}: {why}' for design, why in net.designs.items() if design not in made]
    width = max(len(row[0]) for row in rows) + 2
    return [row[0].ljust(width) + '  '.join(f'{cell:>32}' for cell in row[1:]) for row in rows] + refused + ['']


def _numbers(costs: list) -> str:
    params, macs = sum(cost.params for cost in costs), sum(cost.macs for cost in costs)
    return f'{params / 1e6:10.3f} {macs / 1e6:12.2f}'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config file of a training run')
    parser.add_argument(
        '--shape', type=int, metavar='PIXELS', help='height and width of an image; default: as the config trains'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=Options,
        metavar='KEY=VALUE',
        help='change the config: model.backbone.model_name=resnet50',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options, needs=('model',))
    if args.shape is not None and args.shape < 32:
        raise UserError(
            f'--shape is the height and width of an image in pixels, at least 32, and '
            f'it is {args.shape}: give 224, for example.'
        )
    print(table(measure(cfg, args.shape or train_size(cfg))))


if __name__ == '__main__':
    with user_errors():
        main()
