"""What a training step changes besides the weights, remembered so that it can be put back or replayed."""

import random

import numpy as np
import torch
from torch import Tensor, nn

_PLAIN = (bool, int, float, str, type(None))


def random_state(device: torch.device | None = None) -> dict:
    """The state of the generators of Python, numpy, torch and of a GPU, as tensors and plain values."""
    kind, keys, *rest = np.random.get_state(legacy=True)
    state = dict(
        python=random.getstate(),
        numpy=(kind, torch.from_numpy(np.asarray(keys, np.int64)), *rest),
        cpu=torch.get_rng_state(),
    )
    if device is not None and device.type == 'cuda':
        state['cuda'] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: dict) -> None:
    """Inverse of :func:`random_state`; the GPU's part is used where there is one."""
    version, keys, rest = state['python']
    random.setstate((version, tuple(keys), rest))
    kind, keys, *rest = state['numpy']
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state['cpu'])
    if 'cuda' in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'])


class BeforeStep:
    """The buffers and plain attributes of a model, copied before each forward pass.

    Buffers are BatchNorm's statistics, memory banks, a pseudo-teacher. Plain attributes (numbers, strings) are looked
    at in modules of other classes than torch's, which keep nothing there.

    Args:
        model (nn.Module): Without the wrapper of DDP.
    """

    def __init__(self, model: nn.Module) -> None:
        # A buffer may be assigned anew, so its place is kept and not the tensor.
        self.places = [(module._buffers, name) for module in model.modules() for name in module._buffers]
        self.owners = {
            name: vars(module)
            for name, module in model.named_modules()
            if not type(module).__module__.startswith('torch.nn.')
        }
        self.buffers: list[Tensor | None] = []
        self.plain: dict[str, dict] = {}

    @torch.no_grad()
    def take(self) -> None:
        """Remember the model as it is now."""
        live = [owner[name] for owner, name in self.places]
        same = len(live) == len(self.buffers) and all(
            mine is theirs or (mine is not None and theirs is not None and mine.shape == theirs.shape)
            for mine, theirs in zip(self.buffers, live)
        )
        if same and all(each is not None for each in live) and live:
            # By type: of a list with several, as statistics and counters of steps, a GPU copies each by itself.
            for kind in {each.dtype for each in live}:
                pairs = [(mine, theirs) for mine, theirs in zip(self.buffers, live) if theirs.dtype == kind]
                torch._foreach_copy_(*map(list, zip(*pairs)))
        else:
            self.buffers = [None if each is None else each.detach().clone() for each in live]
        self.plain = {
            name: {key: value for key, value in owner.items() if isinstance(value, _PLAIN)}
            for name, owner in self.owners.items()
        }

    @torch.no_grad()
    def put_back(self) -> None:
        """Make the model what it was when :meth:`take` was called, except for its weights."""
        for (owner, name), value in zip(self.places, self.buffers):
            live = owner[name]
            if live is not None and value is not None and live.shape == value.shape:
                live.copy_(value)
            else:
                owner[name] = None if value is None else value.clone()
        for name, values in self.plain.items():
            self.owners[name].update(values)
