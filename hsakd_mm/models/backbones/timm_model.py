"""Networks of timm by name: built, or refused in one sentence; and weights of other sources under their keys."""

import difflib
import inspect
import sys

import timm
from timm.models import model_entrypoint
from torch import nn

from hsakd_mm.errors import UserError

from .positions import resample_positions


def create_timm_model(model_name: str, **kwargs) -> nn.Module:
    """``timm.create_model``; for an unknown name the error suggests similar names."""
    if not timm.is_model(model_name):
        near = difflib.get_close_matches(model_name.split('.')[0], timm.list_models(), n=3)
        hint = f'did you mean {" or ".join(near)}?' if near else 'timm.list_models() lists them.'
        raise UserError(f'timm {timm.__version__} has no model named {model_name!r}: {hint}')
    return timm.create_model(model_name, **kwargs)


def create_network(arguments: dict, pretrained: bool = False) -> nn.Module:
    """A new network with ``arguments`` of ``timm.create_model``; removes ``zero_init_last`` where it is no option.

    Raises:
        UserError: timm does not know the name or an argument, or has no weights of it.
    """
    name = arguments['model_name']
    try:
        return create_timm_model(**arguments, pretrained=pretrained)
    except TypeError as error:
        if 'zero_init_last' not in str(error) or arguments.get('zero_init_last'):
            raise UserError(
                f"TimmBackbone passes its arguments on to timm's {name!r}, which "
                f'says: {error}; correct or remove that argument.'
            ) from error
        del arguments['zero_init_last']  # this family does not have the option
        return create_network(arguments, pretrained)
    except (OSError, RuntimeError) as error:
        if not pretrained:
            raise
        raise UserError(
            f"timm's weights of {name!r} were expected, and could not be had "
            f'({error}): set pretrained=False, or load a file.'
        ) from error


def adapt_state_dict(net: nn.Module, model_name: str, state_dict: dict, image_size: tuple | None = None) -> dict:
    """``state_dict`` in the keys and shapes of timm's ``net``.

    A state dict that fits is returned unchanged. Otherwise timm's converter for weights of other sources
    (torchvision's VGG, Facebook's ConvNeXt ...) and other image sizes (position embeddings) is applied, and then ours
    for position embeddings of ``image_size``, height and width of the network's images. What this does not make fit is
    returned as it is, and strict loading then says what does not fit.
    """
    own = net.state_dict()
    converter = _converter(net, model_name)
    fits = state_dict.keys() == own.keys() and all(value.shape == own[key].shape for key, value in state_dict.items())
    if fits:
        return state_dict
    if converter is not None:
        takes_net = len(inspect.signature(converter).parameters) > 1
        try:
            state_dict = dict(converter(dict(state_dict), *((net,) if takes_net else ())))
        except (KeyError, RuntimeError, AttributeError, ValueError, IndexError):
            pass
    return resample_positions(own, state_dict, image_size) if image_size else state_dict


def _converter(net: nn.Module, model_name: str):
    """timm's converter for this network; each file of timm has at most one, under one of these names."""
    entry = model_entrypoint(model_name.split('.')[0])
    for module in (sys.modules[entry.__module__], sys.modules[type(net).__module__]):
        for name in ('checkpoint_filter_fn', '_filter_fn', '_filter_torchvision_pretrained'):
            if hasattr(module, name):
                return getattr(module, name)
    return None
