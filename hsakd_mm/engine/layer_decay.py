"""Learning rates that fall towards the image: layer-wise decay for transformers of timm."""

import math

from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from hsakd_mm.errors import UserError
from hsakd_mm.models.backbones.timm_layers import layer_numbers
from hsakd_mm.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayConstructor(DefaultOptimWrapperConstructor):
    """Multiplies the learning rate of a timm network's layer by ``layer_decay`` for each layer behind it.

    Layers are those of timm's ``group_matcher``: the embedding is the first, then the blocks, then the classifier.
    A detector's neck and heads take the classifier's place and have the full rate, as has everything that is not the
    network's. Serves the backbones of distillers (``TimmBackbone``) and of detectors (``TimmDetBackbone``).

    All other options of mmengine's ``DefaultOptimWrapperConstructor`` work as there. ``norm_decay_mult`` also counts
    for what timm names in ``no_weight_decay``: position embeddings, class tokens, tables of relative positions.

    Args:
        optim_wrapper_cfg (dict): See the base class.
        paramwise_cfg (dict): ``layer_decay`` (above 0, at most 1), and the options of the base class.

    Raises:
        UserError: ``layer_decay`` is missing or no such number, or no network of timm states its layers.

    Example:
        >>> optim_wrapper = dict(
        ...     optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.1),
        ...     constructor='hsakd_mm.LayerDecayConstructor',
        ...     paramwise_cfg=dict(layer_decay=0.7, norm_decay_mult=0.0, bias_decay_mult=0.0),
        ... )
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        decay = (paramwise_cfg or {}).get('layer_decay')
        if isinstance(decay, bool) or not isinstance(decay, int | float) or not 0 < decay <= 1:
            raise UserError(
                f'LayerDecayConstructor expects paramwise_cfg=dict(layer_decay=...), a number above 0 and at most 1, '
                f'and got {decay!r}: set for example layer_decay=0.7.'
            )
        self.layer_decay = decay
        super().__init__(optim_wrapper_cfg, paramwise_cfg)

    def add_params(self, params: list, module: nn.Module, prefix: str = '', is_dcn_module=None) -> None:
        """See the base class, which calls this for each module; the rates are changed once, for the whole model."""
        super().add_params(params, module, prefix, is_dcn_module)
        if prefix:
            return
        rates, undecayed = self._read(module)
        mult = self.paramwise_cfg.get('norm_decay_mult')
        custom = self.paramwise_cfg.get('custom_keys') or {}
        names = {id(value): name for name, value in module.named_parameters()}
        for group in params:
            own = id(group['params'][0])
            group['lr'] = group.get('lr', self.base_lr) * rates.get(own, 1)
            chosen = any(key in names[own] for key in custom)
            if own in undecayed and mult is not None and self.base_wd is not None and not chosen:
                group['weight_decay'] = self.base_wd * mult
        used = [group['lr'] for group in params if id(group['params'][0]) in rates]
        if used:
            print_log(
                f'LayerDecayConstructor: learning rates {min(used):.3g} to {max(used):.3g} of the backbone, '
                f'{self.base_lr:.3g} of new layers.',
                logger='current',
            )

    def _read(self, model: nn.Module) -> tuple:
        """The factor of each parameter of timm's networks, and the parameters that timm does not decay, by id."""
        rates: dict = {}
        undecayed: set = set()
        for network in model.modules():
            timm = getattr(network, 'timm', None)
            if not isinstance(timm, nn.Module):
                continue
            own, unused = dict(timm.named_parameters()), getattr(network, 'unused_keys', ())
            layers = layer_numbers(timm, [*own, *unused])
            if not layers:
                continue
            last = max(layers[name] for name in own)
            # What the detector's other parts take the place of is one layer, however much was removed.
            top = last + any(layers[name] > last for name in unused)
            rates |= {id(value): math.pow(self.layer_decay, top - layers[name]) for name, value in own.items()}
            marked = tuple(timm.no_weight_decay()) if hasattr(timm, 'no_weight_decay') else ()
            undecayed |= {id(value) for name, value in own.items() if _is_marked(name, marked)}
        if not rates:
            raise UserError(
                'LayerDecayConstructor needs a backbone of timm that states its layers (TimmBackbone, '
                'TimmDetBackbone), and the model has none: remove optim_wrapper.constructor and layer_decay.'
            )
        return rates, undecayed


def _is_marked(name: str, marked: tuple) -> bool:
    """timm names parameters in full, or the end of their names (Swin's ``relative_position_bias_table``)."""
    return any(name == each or name.endswith(f'.{each}') for each in marked)
