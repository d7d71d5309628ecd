"""Loads a backbone into a detector completely, or refuses."""

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
    """``init_cfg`` of a backbone whose every weight has to come from a file.

    mmengine's ``Pretrained`` only logs what did not fit, so that a forgotten prefix trains from
    random weights. Here every tensor of the module must be in the file with the same shape and
    every tensor of the file must be used. Left over may be a classifier (``fc.*``), and what a
    ``TimmDetBackbone`` has no use for: the tensors that it names in ``unused_keys``.

    mmengine runs every initializer but its own ``Pretrained`` *before* those of the module's
    children, which could overwrite what was loaded. The children are therefore marked as
    initialised.

    Args:
        checkpoint (str): ``.pth`` or ``.safetensors`` with torchvision's or timm's key names, or
            ``torchvision://NAME`` or ``timm://NAME``. None, as in configs/transfer, waits for
            tools/transfer_det.sh to name one.
        prefix (str): Take only the keys under it, without it.
        only, without (str): For a network in two places (a C4 detector's fourth stage is in its
            head): take the keys that begin with ``only``, and not those with ``without``.

    Raises:
        UserError: On the call, if the file and the module do not match exactly. The module is
            then unchanged.

    Example:
        >>> init_cfg = dict(type='hsakd_mm.StrictPretrained', checkpoint='epoch_100_backbone.pth')
    """

    def __init__(self, checkpoint: str | None, prefix: str = '', only: str = '', without: str = '') -> None:
        if checkpoint is None:
            raise UserError(
                'this detector starts from a pretrained backbone, and none is named: '
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
        said = file.normalisation
        trained = f'; trained on RGB, mean {said["mean"]}, std {said["std"]}' if said else ''
        MMLogger.get_current_instance().info(
            f'StrictPretrained: {loaded} of {len(module.state_dict())} tensors of '
            f'{type(module).__name__} loaded from {self.checkpoint}'
            f'{f", SHA-256 {file.sha256}" if file.sha256 else ""}{_left_over(unused)}{trained}'
        )
        if hasattr(module, '_params_init_info'):  # mmengine's record, kept while it initialises
            update_init_info(module, f'StrictPretrained: loaded from {self.checkpoint}')


@HOOKS.register_module()
class BackboneCheckHook(Hook):
    """Looks at the first step whether the detector's backbone still is what the file holds.

    It catches what an initializer cannot see: a backbone with an ``init_weights`` of its own that
    bypasses ``init_cfg``, or a ``load_from`` that loads another one over it; and an input that is
    not normalised as the file says.

    Args:
        checkpoint (str): The file that ``StrictPretrained`` was given.
    """

    priority = 'VERY_HIGH'

    def __init__(self, checkpoint: str) -> None:
        self.checkpoint = checkpoint

    def before_train(self, runner) -> None:
        if runner.iter:
            return  # resumed: it has been trained since
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
                f'{len(changed)} of the {len(own)} tensors of its backbone differ '
                f'({", ".join(changed[:3])}, ...): something else initialises '
                f'{type(model.backbone).__name__}; remove load_from, or use a backbone that '
                f'honours init_cfg.'
            )
        _check_normalisation(getattr(model, 'data_preprocessor', None), file)


def _check_normalisation(preprocessor: nn.Module | None, file: BackboneFile) -> None:
    """Compare mmdet's data preprocessor with the file, where both say how they normalise.

    mmdet reads pictures as BGR. The network gets RGB if the preprocessor swaps the channels; its
    mean and std then are in RGB's order as well.
    """
    if not file.normalisation or getattr(preprocessor, 'mean', None) is None:
        return  # without a mean here, a transform may normalise
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
    return [round(number, 3) for number in numbers]  # float32 has more digits than were written


def select_weights(module: nn.Module, checkpoint: str, prefix: str = '', only: str = '', without: str = '') -> tuple:
    """Of the file, what is meant for the module.

    Returns:
        tuple[BackboneFile, dict, list]: The file, the weights, and the keys that are left over
        rightly: of a classifier, or of layers behind the last stage that the module uses.
    """
    file: BackboneFile = read_backbone(checkpoint)
    weights = {
        key.removeprefix(prefix): value
        for key, value in file.state_dict.items()
        if key.startswith(prefix + only) and not (without and key.startswith(prefix + without))
    }
    if not weights:
        raise UserError(
            f'keys under {prefix + only!r} were expected in {checkpoint}, and there are '
            f'none (its first is {next(iter(file.state_dict))!r}): an exported '
            f'backbone needs no prefix.'
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
