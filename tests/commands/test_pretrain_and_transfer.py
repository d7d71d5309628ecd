"""hsakd-mm pretrain-and-transfer: mistakes of its command line."""

import pytest


@pytest.mark.parametrize(
    'option, value, said',
    [
        ('--seeds', -1, '--seeds takes numbers of 0 or more, and got -1'),
        ('--epochs', 0, '--epochs takes a number of at least 1'),
    ],
)
def test_mistakes(refusal, option, value, said) -> None:
    assert said in refusal('pretrain_and_transfer.py', 'resnet50', 'resnet18', 'nowhere', option, value)
