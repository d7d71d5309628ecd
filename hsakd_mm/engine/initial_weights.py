"""Training that starts from weights: ``load_from``, ``load_backbone_from``, and what to use instead of ``--resume``."""

from collections.abc import Mapping
from functools import partial

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner import Runner, find_latest_checkpoint
from torch import nn

from hsakd_mm.checkpoints.backbone_file import is_head
from hsakd_mm.checkpoints.loading import load_checkpoint, load_fitting
from hsakd_mm.checkpoints.pretrained import check_normalisation
from hsakd_mm.checkpoints.readings import find_reading
from hsakd_mm.checkpoints.work_dir import find_checkpoint
from hsakd_mm.errors import UserError
from hsakd_mm.models.unwrapped import unwrapped


def check_backbones(runner: Runner) -> None:
    """Find what the backbones of a new run start from before any data is read, which may take long.

    They are loaded again by the model's ``init_weights``.

    Args:
        runner (Runner): Not trained yet, and not to be resumed.

    Raises:
        UserError: ``load_backbone_from`` or ``checkpoint`` of the model names no such file, the former does not fit,
            or it is set beside ``load_from``; or backbones with ``pretrained=True`` were trained with another
            normalisation.
    """
    model = unwrapped(runner.model)
    if isinstance(checkpoint := getattr(model, 'checkpoint', None), str):
        find_checkpoint(checkpoint)
    source = getattr(model, 'load_backbone_from', None)
    if source is not None and runner._load_from:
        raise UserError(
            f'a run starts from one place, and both load_from ({runner._load_from}) and model.load_backbone_from '
            f'({source}) are set: leave out load_from, which is for a whole model of the same classes, or the other.'
        )
    if source is not None:
        model.load_backbones()
    elif not runner._load_from and hasattr(model, 'check_pretrained'):
        model.check_pretrained()


def keep_resumed_backbones(runner: Runner) -> None:
    """Have a run that is resumed not load what it started from again: mmengine calls ``init_weights`` then, too.

    The checkpoint has all weights, and the file of the start may be gone.

    Args:
        runner (Runner): About to be trained; called before ``init_weights``.
    """
    model = unwrapped(runner.model)
    source = getattr(model, 'load_backbone_from', None)
    if source is None or not runner._resume or not (runner._load_from or find_latest_checkpoint(runner.work_dir)):
        return
    model.load_backbone_from = None
    runner.logger.info(f'The run is resumed: model.load_backbone_from ({source}) is not loaded again.')


def start_from_weights(runner: Runner, path: str) -> None:
    """Have a runner start from the weights in a file, all of which have to fit.

    mmengine loads what fits under the model's own names and only logs the rest. They are loaded here
    in its place, after the model's ``init_weights``; and once now, so that a file that does not fit is
    rejected before data is read.

    Args:
        runner (Runner): Not trained yet; its ``load_from`` is ``path``.
        path (str): See :func:`load_start`.

    Raises:
        UserError: As :func:`load_start`.
    """
    load_start(unwrapped(runner.model), load_checkpoint(path), path)
    runner.load_checkpoint = partial(_load_instead, runner, path)


def _load_instead(runner: Runner, path: str, *args, **kwargs) -> None:
    del args, kwargs  # mmengine's
    model = unwrapped(runner.model)
    print_log(load_start(model, load_checkpoint(path), path), 'current')
    runner._has_loaded = True
    # EMAHook takes its copy from these.
    runner.call_hook('after_load_checkpoint', checkpoint=dict(state_dict=model.state_dict()))


def load_start(model: nn.Module, content: Mapping, path: str) -> str:
    """Load the weights of a whole model, or of its backbone.

    Args:
        model (nn.Module): A distiller.
        content (Mapping): Of a file with the weights of such a model; with a backbone alone: one
            that tools/export_backbone.py wrote, or torchvision's or timm's, whose classifier may be missing; or of
            another method, whose backbone is taken and nothing else.
        path (str): The file, for the messages.

    Returns:
        str: What was loaded.

    Raises:
        UserError: Neither fits, or the backbone was trained with another normalisation.
    """
    backbone = getattr(model, 'backbone', None)
    if isinstance(backbone, nn.Module) and (
        _is_backbone(backbone, content, path) or _is_of_another_method(model, content, path)
    ):
        if getattr(model, 'data_preprocessor', None) is not None and hasattr(model.data_preprocessor, 'mean'):
            check_normalisation(model.data_preprocessor, content, path)
        heads = [name for name in backbone.state_dict() if is_head(name)]
        reading = load_fitting(backbone, content, path, 'backbone', may_lack=heads)
        lacking = [name for name in heads if name not in reading.weights]
        rest = f'; random: {", ".join(lacking)}, and all that is not the backbone' if lacking else ''
        return f'The backbone starts from {path}: {len(reading.weights)} tensors{reading.place}{rest}.'
    reading = load_fitting(model, content, path, 'model of this config')
    return f'The model starts from {path}: {len(reading.weights)} tensors{reading.place}.'


def _is_backbone(backbone: nn.Module, content: Mapping, path: str) -> bool:
    """Whether the file is a backbone by itself, and not a part of another model."""
    own = backbone.state_dict()
    try:
        reading = find_reading(own, content, path, 'backbone', may_lack=[name for name in own if is_head(name)])
    except UserError:
        return False
    return 'backbone' not in reading.prefix.split('.')


def _is_of_another_method(model: nn.Module, content: Mapping, path: str) -> bool:
    """Whether the file holds this backbone in a model with fewer parts than this one, such as a student of KD."""
    held, parts = content.get('state_dict') or (), {name.partition('.')[0] for name in model.state_dict()}
    if parts == {'backbone'}:
        return False
    try:
        find_reading(model.backbone.state_dict(), content, path, 'backbone')
    except UserError:
        return False
    return all(name.startswith('backbone.') for name in held)


def how_to_start_from(cfg: Config, content: Mapping, path: str) -> str:
    """What starts a run of this config from a file of weights, for the message where it cannot be resumed."""
    model = cfg.get('model') or {}
    if cfg.get('default_scope', 'hsakd_mm') != 'hsakd_mm':
        return f"to start a detector from this backbone use hsakd-mm transfer {path} and the detector's config"
    if 'nets' in model:
        return (
            f'to start each network of this config from it, without the classifier, leave --resume out, and use '
            f'--cfg-options model.load_backbone_from={path}'
        )
    option = 'model.checkpoint' if 'checkpoint' in model else 'load_from'
    # A frozen backbone teaches with its own classifier.
    learns_head = model.get('new_head') or str(model.get('type')).endswith('LinearProbe')
    needs_head = option == 'model.checkpoint' and not learns_head
    if needs_head and not any(map(is_head, content['state_dict'])):
        return f'{option} starts from weights with the classifier: export them with --with-head, and name that file'
    return f'to start from weights leave --resume out, and use --cfg-options {option}={path}'
