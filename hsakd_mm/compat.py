"""The one place where a dependency is patched; each patch says why and checks the version.

* mmengine <= 0.10.x registers no class of its own with torch's ``weights_only`` unpickler, the
  default of ``torch.load`` since 2.6, so that it cannot resume from the checkpoints it wrote. The
  few classes that such a checkpoint holds are allowed here, by name; nothing else is.
* ``_base_ = 'hsakd_mm::...'`` works only for packages in a fixed table of mmengine's; we add ours.
  It also looks for an editable install in site-packages, where only a link lies: ours is found
  by where it was imported from.
"""
import os
import pickle

import numpy as np
import torch
from mmengine.config import config as _config
from mmengine.config import utils as _config_utils
from mmengine.logging.history_buffer import HistoryBuffer
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
    if digit_version(torch.__version__) < digit_version('2.6'):
        return  # torch.load unpickles everything there
    reconstruct = np.ndarray(0).__reduce__()[0]  # its module moved between numpy 1 and 2
    scalar = np.float64(0).__reduce__()[0]
    dtypes = [type(np.dtype(kind)) for kind in ('float64', 'float32', 'int64', 'int32', 'bool')]
    torch.serialization.add_safe_globals(
        [HistoryBuffer, reconstruct, scalar, np.ndarray, np.dtype, *dtypes,
         (_history_statistic, 'builtins.getattr')])


def _find_own_configs() -> None:
    _config_utils.MODULE2PACKAGE.setdefault('hsakd_mm', 'hsakd_mm')
    installed_path = _config.get_installed_path
    _config.get_installed_path = lambda package: (
        os.path.dirname(__file__) if package == 'hsakd_mm' else installed_path(package))


_allow_own_checkpoints()
_find_own_configs()
