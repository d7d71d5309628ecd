"""Writes the bench that pretrains a student on a detector's own pictures and fine-tunes the detector from it.

The files are configs like any others, to be read and changed: they inherit ``configs/bench/own_images``.
"""

import hashlib
import os
from collections.abc import Sequence

from mmengine.config import Config

from hsakd_mm.datasets.boxes.coco_read import read_coco
from hsakd_mm.engine.named_config import package_configs
from hsakd_mm.engine.preflight import load_config
from hsakd_mm.errors import UserError
from hsakd_mm.files import read_text, write_atomically
from hsakd_mm.transfer.mended import inner_datasets

from .named_network import Network
from .own_detector import Part, check_sizes, detector_settings

TEMPLATES = os.path.join(package_configs(), 'bench', 'own_images')
TRANSFER = os.path.join(package_configs(), 'transfer')
# Configs that the detector's file inherits: for few pictures and for many.
SMALL, LARGE = ('_faster-rcnn_fpn.py', '_small.py'), ('faster-rcnn_r18_fpn_1x_coco.py',)
FEW = 10_000  # training pictures up to which the recipe of a small data set is used
# Where a COCO folder has the annotations and the pictures of its parts: COCO's own, ours, Roboflow's.
LAYOUTS = (
    ('annotations/instances_{}2017.json', '{}2017', ('train', 'val')),
    ('annotations/instances_{}.json', '{}', ('train', 'val')),
    ('annotations/{}.json', '{}', ('train', 'val')),
    ('{}.json', '{}', ('train', 'val')),
    ('{}/_annotations.coco.json', '{}', ('train', 'valid')),
)


def find_parts(root: str, detector: Config | None) -> tuple[Part, Part]:
    """The training and the validation part of a COCO folder, where the detector's config or a usual layout has them.

    Raises:
        UserError: They are in none of these places.
    """
    if detector is not None:
        own = [next(inner_datasets(detector[f'{part}_dataloader'].dataset)) for part in ('train', 'val')]
        parts = [Part(each.ann_file, (each.get('data_prefix') or {}).get('img', '').rstrip('/')) for each in own]
        tried = [each.ann_file for each in parts]
        if all(os.path.exists(os.path.join(root, path)) for path in tried):
            return parts[0], parts[1]
    else:
        tried = []
        for ann_file, split, names in LAYOUTS:
            parts = [Part(ann_file.format(name), split.format(name)) for name in names]
            tried.append(parts[0].ann_file)
            if all(os.path.exists(os.path.join(root, part.ann_file)) for part in parts):
                return parts[0], parts[1]
    raise UserError(
        f'annotations for training and validation were expected in {root}, as {" or ".join(tried)}, and they are not '
        f'there: name the folder that holds them, or a detector config with ann_file and data_prefix of your own.'
    )


def write_bench(
    teacher: Network,
    student: Network,
    root: str,
    detector: str | None,
    size: int,
    epochs: int,
    seeds: Sequence[int],
    out: str,
    command: str,
) -> str:
    """Write the configs and the bench file into ``out``; returns the bench file's path.

    Args:
        teacher, student (Network): See :mod:`.named_network`.
        root (str): The COCO folder.
        detector (str | None): A detection config; by default Faster R-CNN with FPN, with the recipe for the size of
            the data set.
        size (int): Pixels of the pretraining's images.
        epochs (int): Of the student; the teacher's branches have a third of them.
        seeds (Sequence[int]): Of the students and the detectors; the teacher has one.
        out (str): Folder of the files and of the runs.
        command (str): As the user typed it, for the files' head.

    Raises:
        UserError: Annotations are missing, the student cannot serve the detector, or a file was changed since it was
            written.
    """
    check_sizes(student)
    given = load_config(detector, needs=('model', 'train_dataloader', 'val_dataloader')) if detector else None
    parts = find_parts(root, given)
    content = read_coco(os.path.join(root, parts[0].ann_file), masks=False).content
    classes = [str(each['name']) for each in sorted(content['categories'], key=lambda each: each['id'])]
    ours = [os.path.join(TRANSFER, name) for name in (SMALL if len(content['images']) <= FEW else LARGE)]
    bases = [os.path.abspath(detector)] if detector else ours
    model = (given or load_config(ours[0])).model
    shared = _shared(student, os.path.abspath(root), parts, size, epochs)
    files = dict(
        teacher=_teacher(teacher, len(classes), epochs),
        plain=dict(model=dict(backbone=dict(num_classes=len(classes)))),
        features=_features(teacher),
        hsakd=_hsakd(teacher, len(classes)),
        detector=detector_settings(
            student, os.path.abspath(root), parts, None if detector else classes, model, detector or ours[0], given
        ),
    )
    labelled = {name for name in ('plain', 'teacher') if name == 'plain' or not teacher.has_classifier}
    head = f'# Written by `{command}`; yours to change.\n'
    for name, own in files.items():
        base = bases if name == 'detector' else [os.path.join(TEMPLATES, f'{name}.py')]
        own = own if name == 'detector' else _merged(shared(name, name in labelled), own)
        _write(out, f'{name}.py', f'{head}_base_ = {base!r}\n', own)
    template = Config.fromfile(os.path.join(TEMPLATES, 'bench.py'))
    own = dict(
        title=f'{student.config["model_name"]} pretrained on the pictures of its detector',
        work_dir=out,
        baseline=template.baseline,
        seeds=list(seeds),
        runs=[dict(run) for run in template.runs],
        detector=dict(config='detector.py'),
        notes=list(template.notes),
    )
    if not teacher.has_classifier:
        own['notes'] = [
            'The teacher has no classifier of its own: it got one of the categories of the boxes, whose labels it and '
            'its branches learned. HSAKD and feature distillation see the pictures without labels; plain training '
            'sees each box as an image of its category. Epochs are equal, cost is not: "plain, same cost" is plain '
            'training for as many as cost, in multiply-adds, what HSAKD costs without its teacher.'
        ]
    again = f'# Again, or changed: hsakd-mm benchmark {os.path.join(out, "bench.py")}\n'
    return _write(out, 'bench.py', head + again, own)


def _shared(student: Network, root: str, parts: Sequence[Part], size: int, epochs: int):
    """What each pretraining's file sets: data, networks, schedule."""

    def settings(name: str, labelled: bool) -> dict:
        own: dict = {} if name == 'teacher' else dict(model=dict(backbone=student.config))
        for loader, part in zip(('train', 'val', 'test'), (*parts, parts[1])):
            dataset = dict(data_root=root, ann_file=part.ann_file, split=part.split)
            if labelled:
                dataset.update(type='BoxCrops')
            own[f'{loader}_dataloader'] = dict(dataset=dataset)
        if size != 224:
            for loader, value in (('train', size), ('val', (size, size)), ('test', (size, size))):
                steps = Config.fromfile(os.path.join(TEMPLATES, '_own.py'))[f'{loader}_dataloader'].dataset.pipeline
                own[f'{loader}_dataloader']['dataset']['pipeline'] = [
                    dict(step, size=value) if 'size' in step else dict(step) for step in steps
                ]
        if name != 'teacher':
            own['train_cfg'] = dict(max_epochs=epochs)
            if not student.is_convolutional:
                own['optim_wrapper'] = dict(
                    optimizer=dict(_delete_=True, type='AdamW', lr=2.5e-4, weight_decay=0.05),
                    clip_grad=dict(max_norm=5.0),
                )
        return own

    return settings


def _teacher(teacher: Network, classes: int, epochs: int) -> dict:
    model: dict = dict(backbone=teacher.config, checkpoint=teacher.weights, data_preprocessor=teacher.normalisation)
    own: dict = dict(model=model, train_cfg=dict(max_epochs=max(1, epochs // 3)))
    if not teacher.has_classifier:  # the branches' classes are then the boxes' own
        model.update(new_head=True, backbone=dict(teacher.config, num_classes=classes))
    return own


def _hsakd(teacher: Network, classes: int) -> dict:
    count = teacher.config['num_classes'] if teacher.has_classifier else classes
    network = dict(backbone=dict(teacher.config, num_classes=count), data_preprocessor=teacher.normalisation)
    return dict(model=dict(backbone=dict(num_classes=count)), default_hooks=dict(distillation=dict(teacher=network)))


def _features(teacher: Network) -> dict:
    network = dict(backbone=teacher.config, data_preprocessor=teacher.normalisation)
    if not teacher.has_classifier:
        network['backbone'] = dict(teacher.config, num_classes=0)
    hook = dict(checkpoint=teacher.weights, teacher=network)
    return dict(model=dict(teacher_features=teacher.channels[-1]), default_hooks=dict(distillation=hook))


def _merged(one: dict, other: dict) -> dict:
    """``other`` over ``one``, in nested dicts too."""
    merged = dict(one)
    for key, value in other.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict) and '_delete_' not in value
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _write(out: str, name: str, head: str, content: dict) -> str:
    """Write a file, unless it was changed since it was written."""
    path = os.path.join(out, name)
    text = head + Config(content).pretty_text
    if os.path.exists(path):
        mark, _, rest = read_text(path).partition('\n')
        if mark != _mark(rest):
            raise UserError(
                f'{path} was changed after it was written, and would be written anew: run it with '
                f'hsakd-mm benchmark {os.path.join(out, "bench.py")}, or choose another --work-dir.'
            )
    write_atomically(path, lambda file: file.write(f'{_mark(text)}\n{text}'.encode()))
    return path


def _mark(text: str) -> str:
    return f'# {hashlib.sha256(text.encode()).hexdigest()[:16]} of what follows, as it was written.'
