"""All patches of dependencies, with their reasons; written for mmengine 0.10 and its fork onedl-mmengine 0.10.

* mmengine <= 0.10.x registers none of its classes with torch's ``weights_only`` unpickler, the
  default of ``torch.load`` since 2.6, so it cannot resume from its own checkpoints. The few classes
  in such a checkpoint are allowed here, by name; nothing else is.
* ``_base_ = 'hsakd_mm::...'`` works only for packages in a fixed table of mmengine; ours is added.
  mmengine also looks for an editable install in site-packages, which holds only a link to it: the
  path of the imported package is used instead.
* mmengine's local file backend writes in place, so a run that is killed while it saves (a job's time
  limit, a full disk) leaves a truncated checkpoint under the final name. The patched backend writes
  a temporary file, which replaces the old one when it is complete and on the disk.
* In a config inherited by package name (``_base_ = 'hsakd_mm::...'``) mmengine adds ``_scope_``, the
  name of the package, to dicts with a ``type``. Registries remove it, but ``collate_fn`` and
  ``worker_init_fn`` of a dataloader are not built by a registry: they were called with ``_scope_`` as
  an argument and failed at the first batch. It is removed here, and the function is looked up in the
  registry of that package.
* That ``_scope_`` is the package's also where the config is written for another: in our detectors' configs, whose
  ``default_scope`` is mmdet, ``CocoDataset`` was looked up in hsakd_mm. The config's ``default_scope`` is used.
* ``sync_bn='torch'`` converts timm's ``BatchNormAct2d`` to a SyncBatchNorm without its activation,
  silently. timm's conversion, which keeps the activation, is used instead.
* mmengine executes the text ``meta['config']`` of a checkpoint that it resumes from, and its inferencers that of
  ``meta['cfg']``: of these texts only assignments of plain values reach it (:mod:`hsakd_mm.literals`), and nothing of
  ``meta['config']``, which it only uses to refuse another number of GPUs. It reads checkpoints with torch's default,
  which an environment variable changes to unpickling anything: ``weights_only`` is given. The fork onedl-mmengine
  allows ``getattr`` while it reads, and unpickles anything where that is not enough: it does as mmengine does here.
  Files of safetensors can be read as well.
* mmengine unpickles label files named ``.pkl``: only plain values are read (:mod:`hsakd_mm.plain_pickle`).
* mmengine and mmcv look for mmcv's compiled operators with ``pkgutil.find_loader``, mmengine at every
  ``paramwise_cfg``. Python 3.14 no longer has that function; it is defined there again.
"""

import os
import pickle
import pkgutil
import platform
import sys
import warnings
from importlib.util import find_spec

import mmengine
import numpy as np
import torch
from mmengine.config import config as _config
from mmengine.config import utils as _config_utils
from mmengine.fileio import LocalBackend
from mmengine.fileio.handlers import PickleHandler
from mmengine.infer import infer as _infer
from mmengine.logging.history_buffer import HistoryBuffer
from mmengine.registry import FUNCTIONS
from mmengine.runner import Runner
from mmengine.runner import checkpoint as _checkpoint
from mmengine.runner import runner as _runner
from mmengine.utils import digit_version
from mmengine.utils.dl_utils import hub as _hub

from hsakd_mm.literals import only_values
from hsakd_mm.plain_pickle import load_plain

_STATISTICS = ('min', 'max', 'mean', 'current')


def _history_statistic(owner: type, name: str):
    """Replaces ``getattr`` while a checkpoint is read; allows the statistics of HistoryBuffer only.

    HistoryBuffer stores methods as values of a dict, and pickle writes a method of a class as a call of
    ``getattr``. Allowing ``getattr`` itself would allow far more than is needed.
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


def _inherit_default_scope() -> None:
    usual = _config.Config._dict_to_config_dict

    def convert(cfg, scope: str | None = None, has_scope: bool = True):
        if scope == 'hsakd_mm' and isinstance(cfg, dict):
            scope = cfg.get('default_scope', scope)
        return usual(cfg, scope, has_scope)

    _config.Config._dict_to_config_dict = staticmethod(convert)


def _put(self, obj: bytes, filepath) -> None:
    """``LocalBackend.put`` that either writes the complete file or leaves the old one unchanged.

    Raises:
        OSError: The file cannot be written.
    """
    path = os.path.realpath(filepath)  # a symbolic link is kept
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.exists(path) and not os.path.isfile(path):  # /dev/stdout and the like
        with open(path, 'wb') as file:
            file.write(obj)
        return
    temporary = f'{path}.{platform.node()}.{os.getpid()}.tmp'  # as hsakd_mm.files.temporary_name
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


class _TorchThatReadsWeights:
    """``torch`` for mmengine's modules that read checkpoints; its ``load`` unpickles weights and plain values only."""

    def __getattr__(self, name: str):
        return getattr(torch, name)

    @staticmethod
    def load(file, map_location=None, weights_only=None):
        """``torch.load`` of weights, whatever ``weights_only`` says."""
        return torch.load(file, map_location=map_location, weights_only=True)


def _texts_as_values(content):
    """A checkpoint whose configs, which an inferencer executes, are assignments of values only."""
    for owner in (content.get('meta'), (content.get('message_hub') or {}).get('runtime_info')):
        if isinstance(owner, dict) and isinstance(owner.get('cfg'), str):
            owner['cfg'] = only_values(owner['cfg'])
    return content


def _read_no_code() -> None:
    _checkpoint.torch = _hub.torch = _TorchThatReadsWeights()
    _checkpoint._safe_torch_load = _TorchThatReadsWeights.load
    usual, from_file = _checkpoint.CheckpointLoader.load_checkpoint, _checkpoint.load_from_local

    def load_checkpoint(cls, filename, map_location=None, logger='current'):
        content = usual(filename, map_location=map_location, logger=logger)
        if isinstance(content, dict) and isinstance(content.get('meta'), dict):
            content['meta'].pop('config', None)
        return content

    def load_from_local(filename, map_location):
        if str(filename).endswith('.safetensors'):
            from safetensors.torch import load_file

            return dict(state_dict=load_file(os.path.expanduser(filename)))
        return from_file(filename, map_location)

    _checkpoint.CheckpointLoader.load_checkpoint = classmethod(load_checkpoint)
    _checkpoint.CheckpointLoader.register_scheme(prefixes='', loader=load_from_local, force=True)
    read = _infer._load_checkpoint
    _infer._load_checkpoint = lambda *args, **kwargs: _texts_as_values(read(*args, **kwargs))
    PickleHandler.load_from_fileobj = lambda self, file, **kwargs: load_plain(file, **kwargs)


def _find_loader(name: str):
    spec = find_spec(name)
    return spec and spec.loader


def _find_compiled_operators() -> None:
    if sys.version_info >= (3, 14):
        pkgutil.find_loader = _find_loader


if digit_version(mmengine.__version__) >= digit_version('0.11'):
    warnings.warn(
        f'hsakd_mm/compat.py patches mmengine 0.10, and {mmengine.__version__} is installed: '
        f'check whether its patches are still correct and needed.',
        stacklevel=2,
    )
_allow_own_checkpoints()
_find_own_configs()
_inherit_default_scope()
_write_whole_files()
_inherit_dataloaders()
_keep_activations()
_read_no_code()
_find_compiled_operators()
