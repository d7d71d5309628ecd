"""The detector's file of :mod:`.own_images`: a detection config with the student as its backbone, and other data."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from mmengine.config import Config, ConfigDict

from hsakd_mm.errors import UserError
from hsakd_mm.models.backbones.chain import STRIDES
from hsakd_mm.randomness import isolated_rng
from hsakd_mm.registry import MODELS
from hsakd_mm.transfer.evaluators import evaluators_of, is_kind

from .named_network import Network

MMDET_RESNETS = {'resnet18': 18, 'resnet34': 34, 'resnet50': 50, 'resnet101': 101}


@dataclass
class Part:
    """The annotations and the folder of the pictures of one part of a COCO folder, relative to it."""

    ann_file: str
    split: str


def detector_settings(
    student: Network,
    root: str,
    parts: Sequence[Part],
    classes: Sequence[str] | None,
    given: ConfigDict,
    name: str,
    data: Config | None = None,
) -> dict:
    """What the detector's file sets: data and backbone; with ``classes``, those too, and for a transformer its recipe.

    Args:
        student (Network): The backbone.
        root, parts: The data.
        classes (Sequence[str] | None): Of the boxes, where the detector is ours.
        given (ConfigDict): The detector's own ``model``.
        name (str): Its file, for messages.
        data (Config | None): The whole of a detector that is not ours, whose datasets and evaluators may have others
            inside.

    Raises:
        UserError: The detector's neck cannot take the student's maps, or its data are several sets.
    """
    model = _backbone(student, given, name)
    own: dict = dict(model=model)
    for loader, part in zip(('train', 'val', 'test'), (*parts, parts[1])):
        dataset: dict = dict(data_root=root + os.sep, ann_file=part.ann_file, data_prefix=dict(img=f'{part.split}/'))
        if classes:
            dataset['metainfo'] = dict(classes=tuple(classes))
        if data is not None:
            dataset = _inside((data.get(f'{loader}_dataloader') or {}).get('dataset') or {}, dataset, name)
        own[f'{loader}_dataloader'] = dict(dataset=dataset)
        if loader != 'train':
            own[f'{loader}_evaluator'] = _evaluator(data, loader, os.path.join(root, part.ann_file))
    if classes:
        model['roi_head'] = dict(bbox_head=dict(num_classes=len(classes)))
        if not student.is_convolutional:  # that of configs/transfer for ViT and Swin
            own['optim_wrapper'] = dict(
                optimizer=dict(_delete_=True, type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
                constructor='hsakd_mm.LayerDecayConstructor',
                paramwise_cfg=dict(layer_decay=0.8, norm_decay_mult=0.0),
            )
    return own


def _inside(given: dict, own: dict, name: str) -> dict:
    """Settings of a dataset at the depth of the one inside RepeatDataset and other wrappers.

    Raises:
        UserError: There are several inside.
    """
    if given.get('datasets'):
        raise UserError(
            f'a detector that reads one data set was expected, which the pictures take the place of, and {name} has '
            f'{given.get("type")} of {len(given["datasets"])}: name a config with one of them.'
        )
    return dict(dataset=_inside(given['dataset'], own, name)) if given.get('dataset') else own


def _evaluator(data: Config | None, part: str, ann_file: str) -> dict | list:
    """What sets the annotation file of the evaluator of a part; of a list or an Evaluator, all of its metrics."""
    given = data and data.get(f'{part}_evaluator')
    if not given or (isinstance(given, dict) and 'metrics' not in given):
        return dict(ann_file=ann_file)
    return [
        dict(metric, ann_file=ann_file) if is_kind(metric, 'CocoMetric') else dict(metric)
        for metric in evaluators_of(data, part)
    ]


def _backbone(student: Network, given: ConfigDict, name: str) -> dict:
    """The student in place of the backbone, with as many of its maps, the last ones, as the detector's neck takes.

    Raises:
        UserError: The detector's neck cannot take the student's maps.
    """
    given_neck = given.get('neck')
    if not isinstance(given_neck, dict) or not isinstance(given_neck.get('in_channels'), list | tuple | str):
        raise UserError(
            f'a detector whose neck takes several maps of its backbone was expected, as FPN does, and that of {name} '
            f'is {given_neck and given_neck.get("type")}: name another detector, or fine-tune it with '
            f'hsakd-mm transfer from the checkpoints.'
        )
    kind, width = str(given_neck['type']), given_neck['in_channels']
    count = len(width) if not isinstance(width, str) else len(given.backbone.get('out_indices', STRIDES))
    network = _network(student)
    depth = MMDET_RESNETS.get(network['model_name'])
    if depth and len(network) == 1 and given.backbone.type == 'ResNet':
        return dict(backbone=dict(depth=depth), neck=dict(in_channels='auto'))
    init = dict(type='hsakd_mm.StrictPretrained', checkpoint=None)
    backbone = dict(_delete_=True, type='hsakd_mm.TimmDetBackbone', init_cfg=init, **network)
    if len(set(student.strides)) == 1:
        if kind.rpartition('.')[2] != 'FPN' or count != len(STRIDES):
            raise UserError(
                f'{network["model_name"]!r} has maps of one stride, of which SimpleFeaturePyramid makes the levels of '
                f'an FPN at strides 4 to 32, and the neck of {name} is {kind} of {count} maps: name a detector with '
                f'such an FPN, or another student.'
            )
        pyramid = dict(type='hsakd_mm.SimpleFeaturePyramid', in_channels='auto', in_stride=student.strides[-1])
        shape = {key: given_neck[key] for key in ('out_channels', 'num_outs') if key in given_neck}
        return dict(backbone=backbone, neck=dict(pyramid, _delete_=True, **shape))
    if tuple(student.strides) != STRIDES:
        raise UserError(
            f'a detector needs maps at the strides {", ".join(map(str, STRIDES))}, and {network["model_name"]!r} has '
            f'them at {", ".join(map(str, student.strides))}: choose another student.'
        )
    if count != len(STRIDES):
        backbone['out_indices'] = tuple(range(len(STRIDES) - count, len(STRIDES)))
    return dict(backbone=backbone, neck=dict(in_channels='auto'))


def _network(student: Network) -> dict:
    """The student's arguments of ``timm.create_model``, for images of any size."""
    return {key: value for key, value in student.config.items() if key not in ('type', 'num_classes', 'img_size')}


def check_sizes(student: Network) -> None:
    """Raise UserError for a student that takes images of one size only, as no detector has them."""
    network = _network(student)
    with isolated_rng('own_images'):
        canvas = MODELS.build(dict(type='TimmDetBackbone', **network)).image_sizes.canvas
    if canvas:
        raise UserError(
            f"a detector's images differ in size, and {network['model_name']!r} takes {canvas[0]} x {canvas[1]} pixels "
            f'alone: choose another student.'
        )
