"""Networks of timm by name: built, or refused in one sentence; and weights of other sources under their keys."""

import difflib
import inspect
import sys

import timm
from timm.models import model_entrypoint
from torch import nn

from hsakd_mm.errors import UserError

from .positions import resample_positions

# What timm raises for arguments that it does not take: it checks few of them.
REFUSALS = (TypeError, ValueError, AssertionError, AttributeError, LookupError)


def create_timm_model(model_name: str, **kwargs) -> nn.Module:
    """``timm.create_model``; for an unknown name, or tag behind it, the error suggests similar names."""
    if not timm.is_model(model_name):
        near = difflib.get_close_matches(model_name.split('.')[0], timm.list_models(), n=3)
        hint = f'did you mean {" or ".join(near)}?' if near else 'timm.list_models() lists them.'
        raise UserError(f'timm {timm.__version__} has no model named {model_name!r}: {hint}')
    try:
        timm.models.get_pretrained_cfg(model_name)
    except RuntimeError as error:
        architecture, _, tag = model_name.partition('.')
        known = timm.list_pretrained(f'{architecture}.*')
        near = difflib.get_close_matches(model_name, known, n=3) or known[:3]
        hint = f'did you mean {" or ".join(near)}? ' if near else ''
        raise UserError(
            f'timm {timm.__version__} has no weights {tag!r} of {architecture!r}: {hint}leave the tag out for random '
            f'weights.'
        ) from error
    return timm.create_model(model_name, **kwargs)


def create_network(arguments: dict, pretrained: bool = False) -> nn.Module:
    """A new network with ``arguments`` of ``timm.create_model``; removes ``zero_init_last`` where it is no option.

    Raises:
        UserError: timm does not know the name or an argument, or has no weights of it; or the images are not RGB.
    """
    name = arguments['model_name']
    if arguments.get('in_chans') not in (None, 3):
        raise UserError(
            f'networks take images of 3 channels, red, green and blue, and in_chans of {name!r} is '
            f'{arguments["in_chans"]!r}: leave it out, and repeat the channel of grey images three times.'
        )
    try:
        return create_timm_model(**arguments, pretrained=pretrained)
    except (OSError, RuntimeError) as error:
        if not pretrained:
            raise
        raise UserError(
            f"timm's weights of {name!r} were expected, and could not be had "
            f'({error}): set pretrained=False, or load a file.'
        ) from error
    except REFUSALS as error:
        if 'zero_init_last' not in str(error) or arguments.get('zero_init_last'):
            said = error if isinstance(error, TypeError) else f'{type(error).__name__} {error}'.strip()
            raise UserError(
                f"TimmBackbone passes its arguments on to timm's {name!r}, which "
                f'says: {said}; correct or remove that argument.'
            ) from error
        del arguments['zero_init_last']  # this family does not have the option
        return create_network(arguments, pretrained)


def adapt_state_dict(net: nn.Module, model_name: str, state_dict: dict, image_size: tuple | None = None) -> dict:
    """``state_dict`` in the keys and shapes of timm's ``net``.

    A state dict that fits is returned unchanged. Otherwise timm's converter for weights of other sources
    (torchvision's VGG, Facebook's ConvNeXt ...) and other image sizes (position embeddings) is applied, and then ours
    for position embeddings of ``image_size``, height and width of the network's images. What this does not make fit is
    returned as it is, and strict loading then says what does not fit. So are weights of another patch size, which
    timm's converter would resample: they are another network's.
    """
    own = net.state_dict()
    converter = _converter(net, model_name)
    fits = state_dict.keys() == own.keys() and all(value.shape == own[key].shape for key, value in state_dict.items())
    if fits:
        return state_dict
    if converter is not None:
        takes_net = len(inspect.signature(converter).parameters) > 1
        try:
            converted = dict(converter(dict(state_dict), *((net,) if takes_net else ())))
        except (KeyError, RuntimeError, AttributeError, ValueError, IndexError):
            converted = state_dict
        if _resamples_kernels(state_dict, converted):
            return state_dict
        state_dict = converted
    return resample_positions(own, state_dict, image_size) if image_size else state_dict


def _resamples_kernels(given: dict, converted: dict) -> bool:
    """Whether a convolution has another kernel size than it was given, under its name or, where that changed, any."""
    kernels = {value.shape[2:] for value in given.values() if value.dim() == 4}
    counts = {value.numel() for value in given.values()}  # of one that was a matrix, as torchvision's VGG has them
    for name, value in converted.items():
        if value.dim() != 4 or not name.endswith('.weight'):
            continue
        before = given.get(name, value)
        if before.dim() == 4 and before.shape[2:] != value.shape[2:]:
            return True
        if name not in given and value.shape[2:] not in kernels and value.numel() not in counts:
            return True
    return False


def _converter(net: nn.Module, model_name: str):
    """timm's converter for this network; each file of timm has at most one, under one of these names."""
    entry = model_entrypoint(model_name.split('.')[0])
    for module in (sys.modules[entry.__module__], sys.modules[type(net).__module__]):
        for name in ('checkpoint_filter_fn', '_filter_fn', '_filter_torchvision_pretrained'):
            if hasattr(module, name):
                return getattr(module, name)
    return None
