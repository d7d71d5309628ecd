"""CRD: Contrastive Representation Distillation (Tian, Krishnan, Isola, ICLR 2020).

The loss pulls the student's embedding of an image towards the teacher's embedding of the same image
and away from the teacher's embeddings of images of other classes, and vice versa. Two memory banks
hold the embeddings of all training images.

Follows the authors' code (HobbitLong/RepDistiller, ``crd/`` and ``dataset/cifar100.py``).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather, all_reduce, get_rank, get_world_size
from torch import Tensor, nn

from hsakd_mm.errors import UserError
from hsakd_mm.models.losses import kl_loss
from hsakd_mm.randomness import isolated_rng
from hsakd_mm.registry import MODELS

from .labels import check_labels
from .plain import Classifier
from .student import StudentMixin

EPS = 1e-7  # as in the reference code


class NegativeSampler:
    """Samples images of other classes.

    Args:
        labels (Tensor): Classes of all n images, ``[n]``.
    """

    def __init__(self, labels: Tensor) -> None:
        counts = labels.cpu().bincount()
        self.fewest = len(labels) - int(counts.max())
        self.most = len(labels) - int(counts[counts > 0].min())
        # Sorted by class, images of class c are contiguous; its negatives are all outside that range.
        self.order = labels.argsort(stable=True)
        self.counts = counts.to(labels.device)
        self.starts = self.counts.cumsum(0) - self.counts

    def draw(self, labels: Tensor, number: int, generator: torch.Generator) -> Tensor:
        """Indices ``[B, number]`` of images of classes other than ``labels: [B]``.

        Each row is sampled uniformly and without replacement; if there are fewer than ``number`` such
        images, with replacement, as in the reference code.
        """
        if self.order.device != labels.device:  # the model was moved; the tables are no buffers of it
            self.order, self.counts, self.starts = (
                table.to(labels.device) for table in (self.order, self.counts, self.starts)
            )
        total, size = len(self.order), (len(labels), number)
        there = (total - self.counts[labels])[:, None]
        options = dict(device=labels.device, generator=generator)
        if number > self.fewest:
            places = torch.randint(2**62, size, **options) % there
        if number <= self.most:
            keys = torch.rand(len(labels), total, **options)
            keys.masked_fill_(torch.arange(total, device=labels.device) >= there, -1)
            distinct = keys.topk(number, sorted=False).indices
            places = torch.where(there < number, places, distinct) if number > self.fewest else distinct
        start, count = self.starts[labels][:, None], self.counts[labels][:, None]
        return self.order[places + count * (places >= start)]


class ContrastiveLoss(nn.Module):
    """Contrastive loss with its embeddings and memory banks (``CRDLoss`` of the reference code).

    With ``v`` a unit vector, ``b_i`` a row of the other side's bank, K negatives, n images,
    ``h(i) = exp(v·b_i / T) / Z`` and ``c = K / n``, one side's loss of an image i is
    ``-log h(i) / (h(i) + c) - Σ_k log c / (h(k) + c)``; the loss is the mean over the batch of both
    sides' sums. Z is n times the mean of ``exp(v·b / T)`` in the first batch, and constant afterwards.
    After each step the rows of the batch's images become ``normalise(m·b_i + (1 - m)·v_i)``.

    Banks, Z and the counter that seeds the sampler are buffers, so that a resumed run continues
    exactly. Negatives are drawn with a separate generator: torch's global one decides the augmentation
    of the images.

    With several ranks, each rank computes the loss of its own images, every rank writes the rows of all
    ranks in order of rank, and Z is the mean over all ranks. All ranks therefore hold equal banks, and
    SyncBuffersHook, which averages buffers, only rounds them. All ranks need batches of the same size,
    which is DefaultSampler's default.

    Args:
        student_features, teacher_features (int): Widths of the pooled features.
        num_samples (int): Rows of each bank.
        dim (int): Width of the embeddings.
        num_negatives (int): K.
        temperature (float): T.
        momentum (float): m.
    """

    def __init__(
        self,
        student_features: int,
        teacher_features: int,
        num_samples: int,
        dim: int,
        num_negatives: int,
        temperature: float,
        momentum: float,
    ) -> None:
        super().__init__()
        self.num_negatives = num_negatives
        self.temperature = temperature
        self.momentum = momentum
        self.negatives: NegativeSampler = None  # type: ignore[assignment]  # CRD.attach_dataset sets it
        self.embed_student = nn.Linear(student_features, dim)
        self.embed_teacher = nn.Linear(teacher_features, dim)
        bound = (3 / dim) ** 0.5
        for side in ('student', 'teacher'):
            bank = torch.empty(num_samples, dim).uniform_(-bound, bound)
            self.register_buffer(f'bank_{side}', bank)
        self.register_buffer('normaliser', torch.full((2,), -1.0))  # Z of both sides; negative: not yet known
        # Run and step. Small numbers: SyncBuffersHook takes them through float32.
        self.register_buffer('drawn', torch.tensor([int(torch.randint(2**20, ())), 0]))

    def draw(self, labels: Tensor) -> Tensor:
        """This step's negatives, ``[B, K]``."""
        run, step = self.drawn.tolist()
        seed = (run * 1_000_003 + step * get_world_size() + get_rank()) % 2**32
        generator = torch.Generator(labels.device).manual_seed(seed)
        return self.negatives.draw(labels, self.num_negatives, generator)

    def forward(self, student: Tensor, teacher: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        """Computes the loss, a scalar, and updates the banks.

        Args:
            student, teacher (Tensor): Pooled features, ``[B, C_S]`` and ``[B, C_T]``.
            labels (Tensor): Classes ``[B]``.
            indices (Tensor): Indices of the images in the data set, ``[B]``.
        """
        dtype = self.bank_student.dtype  # exp(1 / 0.07) overflows half precision
        with torch.autocast(labels.device.type, enabled=False):
            own = F.normalize(self.embed_student(student.to(dtype)), dim=1)
            theirs = F.normalize(self.embed_teacher(teacher.to(dtype)), dim=1)
            rows = torch.cat([indices[:, None], self.draw(labels)], 1)
            weights = (self._weights(own, self.bank_teacher, rows), self._weights(theirs, self.bank_student, rows))
            if self.normaliser[0] < 0:
                means = torch.stack([each.detach().mean() for each in weights])
                all_reduce(means, op='mean')
                self.normaliser.copy_(means * self._count)
            loss = sum(self._loss(each / z) for each, z in zip(weights, self.normaliser.clone()))
        self._remember(own.detach(), theirs.detach(), indices)
        return loss

    @property
    def _count(self) -> int:
        return len(self.negatives.order)

    def _weights(self, vectors: Tensor, bank: Tensor, rows: Tensor) -> Tensor:
        """``exp(v·b / T)``, ``[B, 1 + K]``, with the image itself in column 0.

        Multiplies with the whole bank, which takes less memory than K rows for each image. The bank is
        copied because it changes before the backward pass.
        """
        return ((vectors @ bank.clone().T).gather(1, rows) / self.temperature).exp()

    def _loss(self, ratios: Tensor) -> Tensor:
        noise = self.num_negatives / self._count
        every = ratios + noise + EPS
        same = (ratios[:, 0] / every[:, 0]).log().sum()
        others = (noise / every[:, 1:]).log().sum()
        return -(same + others) / len(ratios)

    @torch.no_grad()
    def _remember(self, own: Tensor, theirs: Tensor, indices: Tensor) -> None:
        for part, *vectors in zip(*(all_gather(each.contiguous()) for each in (indices, own, theirs))):
            for bank, new in zip((self.bank_student, self.bank_teacher), vectors):
                bank[part] = F.normalize(self.momentum * bank[part] + (1 - self.momentum) * new, dim=1)
        self.drawn[1] += 1


@MODELS.register_module()
class CRD(StudentMixin, Classifier):
    """``CE(p_S(x), y) + a·CRD(f_S, f_T) + b·T²·KL(p^T || p^S)``; CRD: b = 0, CRD+KD: b = 1.

    f are the vectors that enter the classifiers; see :class:`ContrastiveLoss`. The embedding of the
    teacher's features is trained with the student and belongs to the student.

    Every image needs its index (``PackInputs(with_index=True)`` in the training pipeline), and the
    labels of all training images must be known before training (:meth:`attach_dataset`, which
    DistillationHook calls). Defaults are RepDistiller's ``-a 0 -b 0.8``; for CRD+KD ``-a 1``.

    Args:
        num_samples (int): Rows of the banks: the number of training images, or more.
        teacher_features (int): Width of the vector that enters the teacher's classifier.
        crd_weight (float): a.
        kd_weight (float): b.
        kd_temperature (float): T of the KL.
        dim, num_negatives, temperature, momentum: As in :class:`ContrastiveLoss`.
        Others: As in :class:`Classifier`.
    """

    takes_soft_labels = False  # negatives are images of other classes

    def __init__(
        self,
        *args,
        num_samples: int,
        teacher_features: int,
        crd_weight: float = 0.8,
        kd_weight: float = 0.0,
        kd_temperature: float = 4.0,
        dim: int = 128,
        num_negatives: int = 16384,
        temperature: float = 0.07,
        momentum: float = 0.5,
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.num_samples = num_samples
        self.teacher_features = teacher_features
        self.crd_weight = crd_weight
        self.kd_weight = kd_weight
        self.kd_temperature = kd_temperature
        with isolated_rng('contrast'):
            self.contrast = ContrastiveLoss(
                self.backbone.num_features, teacher_features, num_samples, dim, num_negatives, temperature, momentum
            )

    @classmethod
    def settings_for(cls, teacher: nn.Module) -> dict:
        return dict(teacher_features=teacher.backbones[0].num_features)

    def check_teacher(self, teacher: nn.Module) -> None:
        super().check_teacher(teacher)
        width = teacher.backbones[0].num_features
        if width != self.teacher_features:
            raise UserError(
                f'CRD embeds {self.teacher_features} features of the teacher, and this one has {width}: set '
                f'model.teacher_features={width}.'
            )

    def attach_dataset(self, dataset) -> None:
        """Reads the classes of all training images.

        Args:
            dataset: mmengine's ``BaseDataset``; image i must have ``sample_idx`` i.

        Raises:
            UserError: More images than rows, a single class, or an index shared by two images.
        """
        labels = []
        for index in range(len(dataset)):
            info = dataset.get_data_info(index)
            if info['sample_idx'] != index:
                raise UserError(
                    f'CRD identifies each image by its index, and image {index} of {type(dataset).__name__} has the '
                    f'index {info["sample_idx"]}: train on a single data set without repetition.'
                )
            labels.append(info['gt_label'])
        self.attach_labels(labels)

    def attach_labels(self, labels: Sequence[int]) -> None:
        """:meth:`attach_dataset` from the classes alone: image i has class ``labels[i]``."""
        if len(labels) > self.num_samples:
            raise UserError(
                f'CRD remembers {self.num_samples} images, and there are {len(labels)} to train on: set '
                f'model.num_samples={len(labels)}.'
            )
        if len(set(labels)) < 2:
            raise UserError(
                'CRD contrasts images of different classes, and all to train on are of one class: add another.'
            )
        self.contrast.negatives = NegativeSampler(torch.tensor(labels, device=self.contrast.drawn.device))

    def forward(
        self, inputs: Tensor, labels: Tensor | None = None, mode: str = 'tensor', indices: Tensor | None = None
    ):
        """As :meth:`BaseDistiller.forward`; ``'loss'`` also takes the images' ``indices: [B]``."""
        if mode == 'loss':
            check_labels(self, labels)
            return self.loss(inputs, labels, indices)
        return super().forward(inputs, labels, mode)

    def loss(self, inputs: Tensor, labels: Tensor, indices: Tensor | None = None) -> dict:
        if indices is None:
            raise UserError(
                'CRD needs the index of every image, and the batch has none: set with_index=True on PackInputs in '
                'train_dataloader.dataset.pipeline.'
            )
        if self.contrast.negatives is None:
            raise UserError(
                'CRD needs the classes of all training images, and was given no data '
                'set: add a DistillationHook, or call attach_dataset().'
            )
        vector, logits = self.backbone.vector_and_logits(inputs)
        with torch.no_grad():
            teacher_vector, teacher_logits = self.teacher.backbones[0].vector_and_logits(
                self.normalize_for_teacher(inputs)
            )
        contrast = self.contrast(vector, teacher_vector, labels, indices)
        losses = {
            'loss_ce': F.cross_entropy(logits, labels),
            'loss_crd': self.distill_weight * self.crd_weight * contrast,
        }
        if self.kd_weight:
            losses['loss_kd'] = (
                self.distill_weight * self.kd_weight * kl_loss(logits, teacher_logits, self.kd_temperature)
            )
        losses['agreement'] = self.agreement(logits, teacher_logits)
        return losses
