"""k-nearest-neighbour accuracy of frozen features, without any training.

Weighted votes as in Wu et al. 2018 (*Unsupervised Feature Learning via Non-Parametric Instance
Discrimination*, section 3.4) and in DINO's ``eval_knn.py``: cosine similarity ``s``, each of the k
nearest training images votes for its class with ``exp(s / T)``, T = 0.07. Wu et al. take k = 200;
DINO reports that 20 is the best of 10, 20, 100 and 200; it is the default here.
"""

import time

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor

from hsakd_mm.datasets.same_classes import check_same_classes
from hsakd_mm.errors import UserError

from .accuracy import Accuracy
from .linear_probe import LinearProbe

K = 20
TEMPERATURE = 0.07
_QUERIES, _BANK = 512, 65_536  # similarities held at once: 128 MiB
_LOG_EVERY = 5.0  # seconds


def knn_accuracy(probe: LinearProbe, bank_loader, test_loader, k: int = K, temperature: float = TEMPERATURE) -> dict:
    """Top-1 and top-5 accuracy in percent.

    Args:
        probe (LinearProbe): Gives the features; its own layer is not used.
        bank_loader (DataLoader): The training images, each once, without augmentation.
        test_loader (DataLoader): The images to classify.
        k (int): Number of neighbours that vote.
        temperature (float): T.

    Returns:
        dict[str, float]: ``top1`` and ``top5``. A class without votes is never right, even if fewer
        than five classes have votes.

    Raises:
        UserError: The classes of the loaders differ, or ``k`` is larger than the number of training
            images or below 1.
    """
    check_same_classes(dict(training=bank_loader.dataset, test=test_loader.dataset))
    bank, labels = extract(probe, bank_loader, 'training images')
    queries, truth = extract(probe, test_loader, 'test images')
    if not 1 <= k <= len(bank):
        raise UserError(
            f'k (--knn K) must be from 1 to the number of training images, {len(bank)}, and it is {k}: choose another.'
        )
    num_classes = int(max(labels.max(), truth.max())) + 1
    metric = Accuracy(topk=(1, 5))
    for start in range(0, len(queries), _QUERIES):
        part = slice(start, start + _QUERIES)
        scores = votes(queries[part], bank, labels, num_classes, k, temperature)
        metric.process(None, probe.to_samples(scores, truth[part]))
    return metric.compute_metrics(metric.results)


def votes(queries: Tensor, bank: Tensor, labels: Tensor, num_classes: int, k: int, temperature: float) -> Tensor:
    """Class scores ``[Q, N]`` of queries ``[Q, D]`` by a bank ``[B, D]`` with labels ``[B]``.

    All vectors are normalised. A class without a vote has the score NaN.
    """
    best = queries.new_empty(len(queries), 0)
    voters = labels.new_empty(len(queries), 0)
    for start in range(0, len(bank), _BANK):
        part = queries @ bank[start : start + _BANK].T
        candidates = torch.cat([best, part], 1)
        classes = torch.cat([voters, labels[start : start + _BANK].expand(len(queries), -1)], 1)
        best, index = candidates.topk(min(k, candidates.shape[1]), dim=1)
        voters = classes.gather(1, index)
    weights = (best / temperature).exp()
    scores = queries.new_zeros(len(queries), num_classes).scatter_add_(1, voters, weights)
    return scores.masked_fill(scores == 0, torch.nan)


@torch.no_grad()
def extract(probe: LinearProbe, dataloader, what: str = 'images') -> tuple[Tensor, Tensor]:
    """Normalised features ``[n, D]`` (float32) and labels ``[n]`` of all images, on the probe's device."""
    probe.eval()
    features, labels = [], []
    logged = time.monotonic()
    for number, batch in enumerate(dataloader, 1):
        if 'labels' not in batch:
            raise UserError(f'{what} with labels were expected, and they have none: use data such as an ImageFolder.')
        batch = probe.data_preprocessor(batch, False)
        features.append(F.normalize(probe.features(batch['inputs']).float(), dim=1))
        labels.append(batch['labels'])
        if time.monotonic() - logged > _LOG_EVERY:
            logged = time.monotonic()
            print_log(f'features of {what}: batch {number} of {len(dataloader)}', 'current')
    return torch.cat(features), torch.cat(labels)
