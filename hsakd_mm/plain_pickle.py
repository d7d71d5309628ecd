"""Pickles of plain values: label files, CIFAR's batches, results of detectors.

A pickle can name any function and call it. Here only what builds numbers, strings, containers, arrays and tensors is
called.
"""

import io
import pickle
from collections import OrderedDict, defaultdict, deque

import numpy as np
import torch

_scalar, _array = np.float64(0).__reduce__()[0], np.ndarray(0).__reduce__()[0]
_PLAIN = {
    **{('builtins', each.__name__): each for each in (set, frozenset, complex, bytearray, range, slice)},
    **{('collections', each.__name__): each for each in (OrderedDict, defaultdict, deque)},
    **{('numpy', name): getattr(np, name) for name in ('dtype', 'ndarray')},
    **{(f'numpy.{core}.multiarray', 'scalar'): _scalar for core in ('core', '_core')},
    **{(f'numpy.{core}.multiarray', '_reconstruct'): _array for core in ('core', '_core')},
    ('_codecs', 'encode'): lambda text, encoding='latin1': text.encode(encoding),  # bytes of protocol 2
    ('torch._utils', '_rebuild_tensor_v2'): torch._utils._rebuild_tensor_v2,
    ('torch.storage', '_load_from_bytes'): lambda content: torch.load(io.BytesIO(content), weights_only=True),
}


class PlainUnpickler(pickle.Unpickler):
    """Reads plain values.

    Raises:
        pickle.UnpicklingError: The file names something else.
    """

    def find_class(self, module: str, name: str):
        module = {'__builtin__': 'builtins'}.get(module, module)  # Python 2's
        if (module, name) not in _PLAIN:
            raise pickle.UnpicklingError(
                f'it holds an object of {module}.{name}, which is not read because unpickling it can run any code'
            )
        return _PLAIN[module, name]


def load_plain(file, **kwargs):
    """:func:`pickle.load` of plain values; ``file`` is open for reading bytes."""
    return PlainUnpickler(file, **kwargs).load()
