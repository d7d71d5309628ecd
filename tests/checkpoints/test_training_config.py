"""A checkpoint's config is read as mmengine wrote it, and never run."""

import pytest
from mmengine.config import Config

from hsakd_mm.checkpoints.training_config import training_config
from hsakd_mm.errors import UserError
from tests.conftest import REPO


def checkpoint(text: str) -> dict:
    return dict(meta=dict(cfg=text), state_dict={})


@pytest.mark.parametrize('config', ['hsakd/imagenet_r34_r18', 'hssakd/cifar100_r56_online', 'demo/faster_rcnn'])
def test_the_configs_that_mmengine_dumps(config) -> None:
    cfg = Config.fromfile(REPO / 'configs' / f'{config}.py')
    assert training_config(checkpoint(cfg.pretty_text), 'a.pth') == cfg.to_dict()


def test_values_of_every_kind() -> None:
    cfg = Config(
        {
            'a': [1, -2.5, (3,), None, True, dict(b='it\'s "so"')],
            'c': {'d.e': {'f g': [-1e-5]}},
            'big': float('inf'),
            'empty': dict(nothing={}, none=[]),
        }
    )
    assert training_config(checkpoint(cfg.pretty_text), 'a.pth') == cfg.to_dict()


@pytest.mark.parametrize(
    'text',
    [
        'import os',
        'a = 1\nb = __import__("pathlib").Path("ran").touch()',
        'a = dict(**{"b": 1})',
        'a = [open("ran", "w") for _ in (1, )]',
        'a = dict(b=<class C>)',
        'a.b = 1',
        "a = f'{1}'",
        'a = dict({}, {})',
        'a = -"b"',
        'a = 1\0',
        'a = {[]: 1}',
        'a = 1 + 1',
        'a = ' + '-' * 100_000 + '1',
    ],
)
def test_what_is_more_than_values_is_refused_and_not_run(text, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UserError,
        match=r'inside a\.pth was expected to hold plain values.*is not '
        r'executed',
    ):
        training_config(checkpoint(text), 'a.pth')
    assert not list(tmp_path.iterdir())
