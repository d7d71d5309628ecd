"""Strict loading of a backbone into a detector: every tensor, or an error."""

import torch
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.model import is_model_wrapper, update_init_info
from torch import nn

from hsakd_mm.checkpoints.backbone_file import BackboneFile, is_head, read_backbone
from hsakd_mm.checkpoints.loading import load_strict
from hsakd_mm.errors import UserError
from hsakd_mm.registry import HOOKS, WEIGHT_INITIALIZERS


@WEIGHT_INITIALIZERS.register_module()
class StrictPretrained:
    """``init_cfg`` of a backbone that has to be loaded completely from a file.

    mmengine's ``Pretrained`` only logs keys that do not match, so a forgotten prefix trains from
    random weights. Here every tensor of the module must be in the file with the same shape, and
    every tensor of the file must be used, except those of a classifier (``fc.*``) and those that a
    ``TimmDetBackbone`` lists in ``unused_keys``.

    mmengine runs every initializer except its own ``Pretrained`` *before* those of the module's
    children, which could overwrite the loaded weights. The children are therefore marked as
    initialised.

    Args:
        checkpoint (str): ``.pth`` or ``.safetensors`` file with torchvision's or timm's key names,
            or ``torchvision://NAME`` or ``timm://NAME``. None, as in configs/transfer, is a
            placeholder that tools/transfer_det.sh replaces.
        prefix (str): Use only keys with this prefix, and strip it.
        only, without (str): For a network that is split over two modules (a C4 detector's fourth
            stage is in its head): use only keys that begin with ``only``, and skip those that
            begin with ``without``.

    Raises:
        UserError: When called, if the file and the module do not match exactly. The module is
            then unchanged.

    Example:
        >>> init_cfg = dict(type='hsakd_mm.StrictPretrained', checkpoint='epoch_100_backbone.pth')
    """

    def __init__(self, checkpoint: str | None, prefix: str = '', only: str = '', without: str = '') -> None:
        if checkpoint is None:
            raise UserError(
                'this detector needs a pretrained backbone, and its config names none: '
                'run bash tools/transfer_det.sh CHECKPOINT CONFIG GPUS, or set '
                'model.backbone.init_cfg.checkpoint.'
            )
        self.checkpoint = checkpoint
        self.part = dict(prefix=prefix, only=only, without=without)

    def __call__(self, module: nn.Module) -> None:
        file, weights, unused = select_weights(module, self.checkpoint, **self.part)
        loaded = load_strict(module, weights, source=self.checkpoint, what='backbone')
        for child in module.modules():
            if child is not module and hasattr(child, 'init_weights'):
                child._is_init = True
        norm = file.normalisation
        trained = f'; trained on RGB, mean {norm["mean"]}, std {norm["std"]}' if norm else ''
        MMLogger.get_current_instance().info(
            f'StrictPretrained: {loaded} of {len(module.state_dict())} tensors of '
            f'{type(module).__name__} loaded from {self.checkpoint}'
            f'{f", SHA-256 {file.sha256}" if file.sha256 else ""}{_left_over(unused)}{trained}'
        )
        if hasattr(module, '_params_init_info'):  # mmengine's record, kept while it initialises
            update_init_info(module, f'StrictPretrained: loaded from {self.checkpoint}')


@HOOKS.register_module()
class BackboneCheckHook(Hook):
    """Compares the detector's backbone with the file once more before the first step.

    It catches what an initializer cannot: a backbone whose own ``init_weights`` ignores
    ``init_cfg``, a ``load_from`` that overwrites the weights, and an input normalisation that
    differs from the file's.

    Args:
        checkpoint (str): The file of ``StrictPretrained``.

    Raises:
        UserError: The weights or the normalisation differ.
    """

    priority = 'VERY_HIGH'

    def __init__(self, checkpoint: str) -> None:
        self.checkpoint = checkpoint

    def before_train(self, runner) -> None:
        if runner.iter:
            return  # resumed: the weights have been trained
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        file, weights, _ = select_weights(model.backbone, self.checkpoint)
        own = model.backbone.state_dict()
        shared = getattr(getattr(model, 'roi_head', None), 'shared_head', None)
        if shared is not None:  # C4: the backbone's last stage is the head of each proposal
            own.update(shared.state_dict())
        changed = [
            key
            for key, value in own.items()
            if not key.endswith('num_batches_tracked')
            and (key not in weights or not torch.equal(value.cpu(), weights[key]))
        ]
        if changed or not own:
            raise UserError(
                f'the detector should start from the weights in {self.checkpoint}, and '
                f'{len(changed)} of the {len(own)} tensors of its backbone differ from them '
                f'({", ".join(changed[:3])}, ...): they were overwritten after loading; remove '
                f'load_from, or use a backbone that initialises itself with init_cfg only.'
            )
        _check_normalisation(getattr(model, 'data_preprocessor', None), file)


def _check_normalisation(preprocessor: nn.Module | None, file: BackboneFile) -> None:
    """Compare mmdet's data preprocessor with the file, if both have a normalisation.

    mmdet reads images as BGR. With ``bgr_to_rgb`` the preprocessor swaps the channels first, so
    its mean and std are in RGB order too.
    """
    if not file.normalisation or getattr(preprocessor, 'mean', None) is None:
        return  # without a mean in the preprocessor, a transform may normalise
    own = {key: getattr(preprocessor, key).flatten().tolist() for key in ('mean', 'std')}
    rgb = getattr(preprocessor, '_channel_conversion', False)
    if not rgb or any(
        len(own[key]) != len(file.normalisation[key])
        or not torch.allclose(torch.tensor(own[key]), torch.tensor(file.normalisation[key]), rtol=1e-3, atol=1e-3)
        for key in own
    ):
        mean, std = (list(file.normalisation[key]) for key in ('mean', 'std'))
        raise UserError(
            f'the backbone in {file.path} was trained on RGB with mean {mean}, std {std}, and the '
            f'detector feeds it {"RGB" if rgb else "BGR"} with mean {_short(own["mean"])}, std '
            f'{_short(own["std"])}: set model.data_preprocessor to mean={mean}, std={std}, '
            f'bgr_to_rgb=True.'
        )


def _short(numbers: list) -> list:
    return [round(number, 3) for number in numbers]  # float32 adds digits to the config's numbers


def select_weights(module: nn.Module, checkpoint: str, prefix: str = '', only: str = '', without: str = '') -> tuple:
    """Read a file and select the module's weights.

    Returns:
        tuple[BackboneFile, dict, list]: The file, the weights, and the keys that the module may
        leave unused: those of a classifier, and of layers behind its last stage.

    Raises:
        UserError: The file has no keys with the prefix.
    """
    file: BackboneFile = read_backbone(checkpoint)
    weights = {
        key.removeprefix(prefix): value
        for key, value in file.state_dict.items()
        if key.startswith(prefix + only) and not (without and key.startswith(prefix + without))
    }
    if not weights:
        raise UserError(
            f'keys under {prefix + only!r} were expected in {checkpoint}, and there are none '
            f'(its first key is {next(iter(file.state_dict))!r}): leave the prefix out for an '
            f'exported backbone.'
        )
    own = module.state_dict()
    behind = getattr(module, 'unused_keys', ())
    unused = [key for key in weights if key not in own and (is_head(key) or key in behind)]
    return file, {key: value for key, value in weights.items() if key not in unused}, unused


def _left_over(unused: list) -> str:
    heads = [key for key in unused if is_head(key)]
    behind = [key for key in unused if not is_head(key)]
    said = f'; left over: the classifier ({", ".join(heads)})' if heads else ''
    if behind:
        said += (
            f'; left over: {len(behind)} tensors behind the last stage in use '
            f'({", ".join(behind[:3])}{", ..." if len(behind) > 3 else ""})'
        )
    return said
