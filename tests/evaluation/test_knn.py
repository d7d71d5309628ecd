"""k-NN against a plain loop, whatever the chunks; what counts as right."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hsakd_mm.errors import UserError
from hsakd_mm.evaluation import knn
from hsakd_mm.evaluation.linear_probe import LinearProbe


class Flat(nn.Module):
    """Stands for a probe whose features are its input's numbers."""

    num_classes = 3
    to_samples = staticmethod(LinearProbe.to_samples)

    def data_preprocessor(self, batch: dict, training: bool) -> dict:
        assert not training
        return batch

    def features(self, inputs):
        return inputs.flatten(1)


class Loader(list):
    """Batches, with the classes of their set."""

    def __init__(self, vectors, labels, classes=('a', 'b', 'c'), size=7) -> None:
        super().__init__(
            dict(inputs=vectors[start : start + size], labels=labels[start : start + size])
            for start in range(0, len(vectors), size)
        )
        self.dataset = type('Set', (), dict(metainfo=dict(classes=classes)))()


def by_hand(query, bank, labels, k: int, temperature: float) -> list:
    """The voted classes, best first."""
    similarity = [F.cosine_similarity(query, other, dim=0).item() for other in bank]
    nearest = sorted(range(len(bank)), key=lambda index: -similarity[index])[:k]
    votes = {}
    for index in nearest:
        label = labels[index].item()
        votes[label] = votes.get(label, 0) + math.exp(similarity[index] / temperature)
    return sorted(votes, key=lambda label: -votes[label])


@pytest.mark.parametrize('k, bank_chunk', [(1, 64), (5, 64), (5, 3), (20, 7)])
def test_as_by_hand(monkeypatch, k, bank_chunk) -> None:
    monkeypatch.setattr(knn, '_BANK', bank_chunk)
    monkeypatch.setattr(knn, '_QUERIES', 4)
    generator = torch.Generator().manual_seed(0)
    bank, queries = (torch.randn(n, 6, generator=generator) for n in (40, 15))
    labels, truth = (torch.randint(0, 9, (n,), generator=generator) for n in (40, 15))
    got = knn.knn_accuracy(Flat(), Loader(bank, labels), Loader(queries, truth), k)
    expected = [by_hand(query, bank, labels, k, 0.07) for query in queries]
    for count in (1, 5):
        right = sum(label.item() in voted[:count] for voted, label in zip(expected, truth))
        assert got[f'top{count}'] == pytest.approx(100 * right / 15)


def test_a_class_without_votes_is_never_right() -> None:
    bank, labels = torch.eye(3), torch.tensor([0, 1, 2])
    got = knn.knn_accuracy(Flat(), Loader(bank, labels), Loader(bank, labels.flip(0)), k=1)
    assert got == dict(top1=pytest.approx(100 / 3), top5=pytest.approx(100 / 3))


def test_mistakes() -> None:
    bank, labels = torch.eye(3), torch.tensor([0, 1, 2])
    for k in (0, 4):
        with pytest.raises(UserError, match=f'training images, 3, and it is {k}'):
            knn.knn_accuracy(Flat(), Loader(bank, labels), Loader(bank, labels), k)
    with pytest.raises(UserError, match='same classes'):
        knn.knn_accuracy(Flat(), Loader(bank, labels), Loader(bank, labels, ('b', 'a', 'c')))
