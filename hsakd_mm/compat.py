"""The one place where a dependency is patched, each time with the reason; written for mmengine 0.10.

* mmengine <= 0.10.x registers no class of its own with torch's ``weights_only`` unpickler, the
  default of ``torch.load`` since 2.6, so that it cannot resume from the checkpoints it wrote. The
  few classes that such a checkpoint holds are allowed here, by name; nothing else is.
* ``_base_ = 'hsakd_mm::...'`` works only for packages in a fixed table of mmengine's; we add ours.
  It also looks for an editable install in site-packages, where only a link lies: ours is found
  by where it was imported from.
* mmengine's local file backend writes in place, so that a run killed while it saves (a job's time
  limit, a full disk) leaves a truncated checkpoint under the final name. Ours writes a neighbour,
  which takes the place of the file once it is whole and on the disk.
* In a config inherited by a package's name (``_base_ = 'hsakd_mm::...'``) mmengine writes the name of
  that package into each dict with a ``type``, as ``_scope_``. Its registries take it out again, but
  ``collate_fn`` and ``worker_init_fn`` of a dataloader are not built by one: they were called with
  ``_scope_`` as an argument and failed at the first batch. It is taken out here, and the function is
  looked up in that package.
* ``sync_bn='torch'`` makes a bare SyncBatchNorm of timm's ``BatchNormAct2d``, and the activation in
  it is lost without a word. timm's own conversion, which keeps it, takes its place.
"""

import os
import pickle
import platform
import warnings

import mmengine
import numpy as np
import torch
from mmengine.config import config as _config
from mmengine.config import utils as _config_utils
from mmengine.fileio import LocalBackend
from mmengine.logging.history_buffer import HistoryBuffer
from mmengine.registry import FUNCTIONS
from mmengine.runner import Runner
from mmengine.runner import runner as _runner
from mmengine.utils import digit_version

_STATISTICS = ('min', 'max', 'mean', 'current')


def _history_statistic(owner: type, name: str):
    """Stands in for ``getattr`` while a checkpoint is read: HistoryBuffer's own statistics only.

    HistoryBuffer keeps its methods as values of a dict, and pickle writes a method of a class as
    a call of ``getattr``. To allow the real one would open far more than is asked for.
    """
    if owner is not HistoryBuffer or name not in _STATISTICS:
        raise pickle.UnpicklingError(f'getattr({owner!r}, {name!r}) is not allowed in a checkpoint')
    return getattr(HistoryBuffer, name)


def _allow_own_checkpoints() -> None:
    reconstruct = np.ndarray(0).__reduce__()[0]  # its module moved between numpy 1 and 2
    scalar = np.float64(0).__reduce__()[0]
    dtypes = [type(np.dtype(kind)) for kind in ('float64', 'float32', 'int64', 'int32', 'bool')]
    torch.serialization.add_safe_globals(
        [HistoryBuffer, reconstruct, scalar, np.ndarray, np.dtype, *dtypes, (_history_statistic, 'builtins.getattr')]
    )


def _find_own_configs() -> None:
    _config_utils.MODULE2PACKAGE.setdefault('hsakd_mm', 'hsakd_mm')
    installed_path = _config.get_installed_path
    _config.get_installed_path = lambda package: (
        os.path.dirname(__file__) if package == 'hsakd_mm' else installed_path(package)
    )


def _put(self, obj: bytes, filepath) -> None:
    """``LocalBackend.put``: afterwards the file is whole, or what it was before.

    Raises:
        OSError: It cannot be written.
    """
    path = os.path.realpath(filepath)  # a link stays one
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.exists(path) and not os.path.isfile(path):  # /dev/stdout and the like
        with open(path, 'wb') as file:
            file.write(obj)
        return
    temporary = f'{path}.{platform.node()}.{os.getpid()}.tmp'  # nodes may share a folder
    try:
        with open(temporary, 'wb') as file:
            file.write(obj)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def _put_text(self, obj: str, filepath, encoding: str = 'utf-8') -> None:
    self.put(obj.encode(encoding), filepath)


def _write_whole_files() -> None:
    LocalBackend.put, LocalBackend.put_text = _put, _put_text


def _without_scope(function):
    """``dict(type='name', _scope_=..., **arguments)`` with the function itself as its type."""
    if not isinstance(function, dict) or '_scope_' not in function:
        return function
    function = dict(function)
    with FUNCTIONS.switch_scope_and_registry(function.pop('_scope_')) as registry:
        if isinstance(function['type'], str):
            function['type'] = registry.get(function['type'])
    return function


def _inherit_dataloaders() -> None:
    usual = Runner.build_dataloader

    def build_dataloader(dataloader, *args, **kwargs):
        if isinstance(dataloader, dict):
            functions = {'collate_fn', 'worker_init_fn'} & dataloader.keys()
            dataloader = {**dataloader, **{name: _without_scope(dataloader[name]) for name in functions}}
        return usual(dataloader, *args, **kwargs)

    Runner.build_dataloader = staticmethod(build_dataloader)


def _keep_activations() -> None:
    usual = _runner.convert_sync_batchnorm

    def convert(module, implementation: str = 'torch'):
        if implementation != 'torch':
            return usual(module, implementation)
        from timm.layers import convert_sync_batchnorm

        return convert_sync_batchnorm(module)

    _runner.convert_sync_batchnorm = convert


if digit_version(mmengine.__version__) >= digit_version('0.11'):
    warnings.warn(
        f'hsakd_mm/compat.py mends mmengine 0.10, and {mmengine.__version__} is installed: '
        f'look whether its patches are still right and needed.',
        stacklevel=2,
    )
_allow_own_checkpoints()
_find_own_configs()
_write_whole_files()
_inherit_dataloaders()
_keep_activations()
