"""Training that starts from weights: ``load_from`` of a pretraining config, and what to use instead of ``--resume``."""

from collections.abc import Mapping
from functools import partial

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from hsakd_mm.checkpoints.backbone_file import is_head
from hsakd_mm.checkpoints.loading import load_checkpoint, load_fitting
from hsakd_mm.checkpoints.pretrained import check_normalisation
from hsakd_mm.checkpoints.readings import find_reading
from hsakd_mm.errors import UserError


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
    load_start(_model(runner), load_checkpoint(path), path)
    runner.load_checkpoint = partial(_load_instead, runner, path)


def _load_instead(runner: Runner, path: str, *args, **kwargs) -> None:
    del args, kwargs  # mmengine's
    model = _model(runner)
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
        return f"to start a detector from this backbone use bash tools/transfer_det.sh {path} and the detector's config"
    if 'nets' in model:
        return 'the networks of this config teach each other from random weights: leave --resume out to start it'
    option = 'model.checkpoint' if 'checkpoint' in model else 'load_from'
    # A frozen backbone teaches with its own classifier.
    needs_head = option == 'model.checkpoint' and not str(model.get('type')).endswith('LinearProbe')
    if needs_head and not any(map(is_head, content['state_dict'])):
        return f'{option} starts from weights with the classifier: export them with --with-head, and name that file'
    return f'to start from weights leave --resume out, and use --cfg-options {option}={path}'


def _model(runner: Runner) -> nn.Module:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
