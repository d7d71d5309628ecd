"""The patches of dependencies in hsakd_mm/compat.py."""

import errno
import os
import pickle
import pkgutil
import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.fileio import LocalBackend
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner, checkpoint, runner

import hsakd_mm.compat as compat
from hsakd_mm.models.backbones import TimmBackbone
from hsakd_mm.registry import FUNCTIONS


def test_own_configs_can_be_inherited_by_name(tmp_path) -> None:
    config = tmp_path / 'mine.py'
    config.write_text("_base_ = 'hsakd_mm::hsakd/imagenet_r34_r18.py'\nmodel = dict(temperature=4.)")
    cfg = Config.fromfile(config)
    assert (cfg.model.type, cfg.model.temperature) == ('HSAKD', 4.0)


def test_functions_of_an_inherited_dataloader(monkeypatch) -> None:
    """They are called without mmengine's ``_scope_``, and are looked up in the package it names."""
    monkeypatch.setitem(FUNCTIONS.module_dict, 'added', lambda batch, to: sum(batch) + to)
    monkeypatch.setitem(FUNCTIONS.module_dict, 'told', lambda worker, text: text * worker)
    loader = dict(
        batch_size=2,
        dataset=[1, 2],
        sampler=dict(type='DefaultSampler', shuffle=False, _scope_='hsakd_mm'),
        collate_fn=dict(type='added', to=10, _scope_='hsakd_mm'),
        worker_init_fn=dict(type='told', text='ab', _scope_='hsakd_mm'),
    )
    built = Runner.build_dataloader(loader)
    assert list(built) == [13] and built.worker_init_fn(2) == 'abab'
    assert loader['collate_fn']['_scope_'] == 'hsakd_mm'  # the config stays as it is
    for function in (sum, dict(type=sum), dict(type=sum, _scope_='hsakd_mm')):
        assert list(Runner.build_dataloader(dict(loader, collate_fn=function))) == [3]


class NotAWeight:
    pass


def test_a_checkpoint_still_cannot_run_code(tmp_path) -> None:
    torch.save(dict(state_dict={}, extra=NotAWeight()), tmp_path / 'x.pth')
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / 'x.pth')
    with pytest.raises(pickle.UnpicklingError, match='not allowed'):
        compat._history_statistic(dict, 'get')
    with pytest.raises(pickle.UnpicklingError):  # what onedl-mmengine calls, which then unpickled anything
        checkpoint._safe_torch_load(tmp_path / 'x.pth', weights_only=False)


def test_files_are_written_whole_or_not_at_all(tmp_path, monkeypatch) -> None:
    path, backend = tmp_path / 'made' / 'epoch_1.pth', LocalBackend()
    backend.put(b'old', path)
    backend.put_text('text', tmp_path / 'note')
    assert (tmp_path / 'note').read_text() == 'text'

    def full(file) -> None:
        raise OSError(errno.ENOSPC, 'No space left on device')

    with monkeypatch.context() as patched, pytest.raises(OSError, match='No space left'):
        patched.setattr(os, 'fsync', full)
        backend.put(b'new', path)
    assert path.read_bytes() == b'old' and os.listdir(path.parent) == [path.name]
    backend.put(b'new', path)
    assert path.read_bytes() == b'new' and os.listdir(path.parent) == [path.name]


def test_sync_bn_keeps_the_activations_in_timms_norms() -> None:
    torch.manual_seed(0)
    net = TimmBackbone('test_efficientnet', num_classes=3).eval()
    images = torch.randn(2, 3, 64, 64)
    before, keys = net(images), list(net.state_dict())
    converted = runner.convert_sync_batchnorm(net, 'torch').eval()
    norms = [module for module in converted.modules() if isinstance(module, torch.nn.SyncBatchNorm)]
    assert norms and list(converted.state_dict()) == keys
    assert torch.equal(converted(images), before)


def test_parameters_of_a_kind_can_have_settings_of_their_own(monkeypatch) -> None:
    """As on Python 3.14, whose pkgutil lacks the function that mmengine calls."""
    monkeypatch.delattr(pkgutil, 'find_loader', raising=False)
    with monkeypatch.context() as newer:
        newer.setattr(sys, 'version_info', (3, 14))
        compat._find_compiled_operators()
    optimizer = dict(type='SGD', lr=0.1, weight_decay=0.1)
    wrapper = build_optim_wrapper(
        torch.nn.BatchNorm2d(3), dict(optimizer=optimizer, paramwise_cfg=dict(norm_decay_mult=0.0))
    )
    assert wrapper.param_groups[0]['weight_decay'] == 0
