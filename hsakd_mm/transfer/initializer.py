"""Strict loading of a backbone into a detector: every tensor, or an error."""

import torch
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.model import update_init_info
from torch import nn

from hsakd_mm.checkpoints.backbone_file import BackboneFile, is_head, read_backbone
from hsakd_mm.checkpoints.fitting import Reading, require_finite
from hsakd_mm.checkpoints.loading import load_strict
from hsakd_mm.checkpoints.readings import Selection, find_reading, state_dicts
from hsakd_mm.checkpoints.same_network import check_same_network
from hsakd_mm.errors import UserError
from hsakd_mm.models.unwrapped import unwrapped
from hsakd_mm.registry import HOOKS, WEIGHT_INITIALIZERS

SELECTION = ('key', 'prefix', 'only', 'without')  # options of StrictPretrained
CHOOSE = (
    '--cfg-options model.backbone.init_cfg.key=KEY model.backbone.init_cfg.prefix=PREFIX (of a C4 detector also of '
    'model.roi_head.shared_head)'
)
# What self-supervised methods train behind a backbone, under the same prefix.
PROJECTORS = ('projector.', 'projection_head.', 'predictor.', 'prototypes.')


@WEIGHT_INITIALIZERS.register_module()
class StrictPretrained:
    """``init_cfg`` of a backbone that has to be loaded completely from a file.

    mmengine's ``Pretrained`` only logs keys that do not match, so a forgotten prefix trains from
    random weights. Here every tensor of the module must be in the file with the same shape, and
    every tensor beside them must be used, except those of a classifier (``fc.*``) and those that a
    ``TimmDetBackbone`` lists in ``unused_keys``. A key and a prefix under which another project saved
    them (``model``, ``module.backbone.``) are found if one reading fits, and are logged.

    mmengine runs every initializer except its own ``Pretrained`` *before* those of the module's
    children, which could overwrite the loaded weights. The children are therefore marked as
    initialised.

    Args:
        checkpoint (str): ``.pth`` or ``.safetensors`` file with torchvision's or timm's key names,
            or ``torchvision://NAME``, ``timm://NAME`` or ``hf-hub:OWNER/NAME``. None, as in configs/transfer, is a
            placeholder that tools/transfer_det.sh replaces.
        key (str): Key of the state dict in the file, such as ``teacher`` or ``ema.model``; searched
            by default.
        prefix (str): Use only names with this prefix, and strip it; searched by default.
        only, without (str): For a network that is split over two modules (a C4 detector's fourth
            stage is in its head): use only names that begin with ``only``, and skip those that
            begin with ``without``, both after the prefix.

    Raises:
        UserError: When called, if the file and the module do not match exactly, if several readings
            of the file do, if it is of another network or holds NaN. The module is then unchanged.

    Example:
        >>> init_cfg = dict(type='hsakd_mm.StrictPretrained', checkpoint='epoch_100_backbone.pth')
    """

    def __init__(
        self, checkpoint: str | None, prefix: str = '', only: str = '', without: str = '', key: str = ''
    ) -> None:
        if checkpoint is None:
            raise UserError(
                'this detector needs a pretrained backbone, and its config names none: '
                'run hsakd-mm transfer CHECKPOINT CONFIG GPUS, or set '
                'model.backbone.init_cfg.checkpoint.'
            )
        self.checkpoint = checkpoint
        self.selection = Selection(key, prefix, only, without)

    def __call__(self, module: nn.Module) -> None:
        file = read_backbone(self.checkpoint)
        reading = read_weights(module, file, self.selection)
        loaded = load_strict(module, reading.weights, source=self.checkpoint, what='backbone')
        for child in module.modules():
            if child is not module and hasattr(child, 'init_weights'):
                child.is_init = True
        norm = file.normalisation
        trained = f'; trained on {_order(norm)}, mean {norm["mean"]}, std {norm["std"]}' if norm else ''
        MMLogger.get_current_instance().info(
            f'StrictPretrained: {loaded} of {len(module.state_dict())} tensors of '
            f'{type(module).__name__} loaded from {self.checkpoint}{reading.place}'
            f'{f", SHA-256 {file.sha256}" if file.sha256 else ""}{_resampled(reading, file)}'
            f'{_left_over(reading.unused)}{trained}'
        )
        if hasattr(module, '_params_init_info'):  # mmengine's record, kept while it initialises
            update_init_info(module, f'StrictPretrained: loaded from {self.checkpoint}')


@HOOKS.register_module()
class BackboneCheckHook(Hook):
    """Compares the detector's backbone with the file once more before the first step.

    It catches what an initializer cannot: a backbone whose own ``init_weights`` ignores
    ``init_cfg``, a ``load_from`` that overwrites the weights, and an input normalisation that
    differs from the file's.

    Of each module the weights are read as its ``init_cfg`` has them read (``prefix``, ``only`` …), and
    compared in the module's own number format.

    Args:
        checkpoint (str): The file of ``StrictPretrained``.
        **selection: ``key``, ``prefix``, ``only`` and ``without`` for a backbone that is not loaded by
            ``StrictPretrained``.

    Raises:
        UserError: The weights or the normalisation differ.
    """

    priority = 'VERY_HIGH'

    def __init__(self, checkpoint: str, **selection: str) -> None:
        self.checkpoint = checkpoint
        self.selection = Selection(**selection)

    def before_train(self, runner) -> None:
        if runner.iter:
            return  # resumed: the weights have been trained
        model = unwrapped(runner.model)
        file = read_backbone(self.checkpoint)
        own, changed = 0, []
        for module in self._parts(model):
            init_cfg: dict = getattr(module, 'init_cfg', None) or {}
            wanted = {name: init_cfg[name] for name in SELECTION if is_strict(init_cfg) and init_cfg.get(name)}
            weights = read_weights(module, file, Selection(**wanted) if wanted else self.selection).weights
            tensors = module.state_dict()
            own += len(tensors)
            changed += [
                name
                for name, value in tensors.items()
                if not name.endswith('num_batches_tracked')
                and not torch.equal(value.cpu(), weights[name].to(value.dtype))
            ]
        if changed or not own:
            raise UserError(
                f'the detector should start from the weights in {self.checkpoint}, and '
                f'{len(changed)} of the {own} tensors of its backbone differ from them '
                f'({", ".join(changed[:3])}, ...): they were overwritten after loading; remove '
                f'load_from, or use a backbone that initialises itself with init_cfg only.'
            )
        _check_normalisation(getattr(model, 'data_preprocessor', None), file)

    @staticmethod
    def _parts(model: nn.Module) -> list:
        """The backbone, and other modules that StrictPretrained loads: a C4 detector's last stage is in its head."""
        others = [module for module in model.modules() if is_strict(getattr(module, 'init_cfg', None))]
        return [model.backbone, *(module for module in others if module is not model.backbone)]


def is_strict(init_cfg) -> bool:
    """Whether ``init_cfg`` is one of :class:`StrictPretrained`."""
    return isinstance(init_cfg, dict) and str(init_cfg.get('type', '')).endswith('StrictPretrained')


def _check_normalisation(preprocessor: nn.Module | None, file: BackboneFile) -> None:
    """Compare mmdet's data preprocessor with the file, if both have a normalisation.

    mmdet reads images as BGR. With ``bgr_to_rgb`` the preprocessor swaps the channels first, so
    its mean and std are in RGB order too.
    """
    if not file.normalisation or getattr(preprocessor, 'mean', None) is None:
        return  # without a mean in the preprocessor, a transform may normalise
    own = {key: getattr(preprocessor, key).flatten().tolist() for key in ('mean', 'std')}
    order = 'RGB' if getattr(preprocessor, '_channel_conversion', False) else 'BGR'
    wanted = _order(file.normalisation)
    if order != wanted or any(
        len(own[key]) != len(file.normalisation[key])
        or not torch.allclose(torch.tensor(own[key]), torch.tensor(file.normalisation[key]), rtol=1e-3, atol=1e-3)
        for key in own
    ):
        mean, std = (list(file.normalisation[key]) for key in ('mean', 'std'))
        raise UserError(
            f'the backbone in {file.path} was trained on {wanted} with mean {mean}, std {std}, and the '
            f'detector feeds it {order} with mean {_short(own["mean"])}, std '
            f'{_short(own["std"])}: set model.data_preprocessor to mean={mean}, std={std}, '
            f'bgr_to_rgb={wanted == "RGB"}, rgb_to_bgr=False.'
        )


def _order(normalisation: dict) -> str:
    return normalisation.get('channel_order') or 'RGB'


def _short(numbers: list) -> list:
    return [round(number, 3) for number in numbers]  # float32 adds digits to the config's numbers


def read_weights(module: nn.Module, file: BackboneFile, selection: Selection) -> Reading:
    """The module's weights in a file.

    Returns:
        Reading: Its ``unused`` are the names that the module may leave unused: those of a classifier,
        and of layers behind its last stage.

    Raises:
        UserError: No reading of the file fits, several do, the one that fits is of another network
            (:func:`~hsakd_mm.checkpoints.same_network.check_same_network`), or it holds NaN.
    """
    own = module.state_dict()
    behind = getattr(module, 'unused_keys', ())
    try:
        reading = find_reading(
            own,
            file.content,
            file.path,
            'backbone',
            selection,
            may_leave=lambda name: is_head(name) or name.startswith(PROJECTORS) or name in behind,
            convert=getattr(module, 'adapt_state_dict', None),
            choose=CHOOSE,
        )
    except UserError as error:
        if getattr(getattr(module, 'image_sizes', None), 'canvas', None) and 'of another shape' in str(error):
            raise UserError(
                f'{str(error).rstrip(".")}; if only tensors that belong to one image size differ, those of this '
                f'network cannot be resampled: leave out img_size, or set the one that it was trained with.'
            ) from None
        raise
    check_same_network(module, file.content, file.path)
    require_finite(own, reading.weights, file.path, 'backbone')
    return reading


def _resampled(reading: Reading, file: BackboneFile) -> str:
    """What was resampled, such as position embeddings of another image size."""
    theirs = state_dicts(file.content).get(reading.key, {})
    changed = [
        name
        for name, value in reading.weights.items()
        if reading.prefix + name in theirs and theirs[reading.prefix + name].shape != value.shape
    ]
    if not changed:
        return ''
    more = ', ...' if len(changed) > 3 else ''
    return f"; resampled for this network's image size: {', '.join(changed[:3])}{more}"


def _left_over(unused: list) -> str:
    heads = [key for key in unused if is_head(key) or key.startswith(PROJECTORS)]
    behind = [key for key in unused if key not in heads]
    said = f'; left over: the classifier ({", ".join(heads)})' if heads else ''
    if behind:
        said += (
            f'; left over: {len(behind)} tensors behind the last stage in use '
            f'({", ".join(behind[:3])}{", ..." if len(behind) > 3 else ""})'
        )
    return said
