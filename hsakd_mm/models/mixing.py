"""Images of a batch mixed with each other, and their labels with them: mixup, CutMix."""

from torch import Tensor
from torchvision.transforms import v2

from hsakd_mm.errors import UserError

MIXES = {'MixUp': v2.MixUp, 'CutMix': v2.CutMix}


class BatchMix:
    """Of each step's images every one is mixed with its neighbour, at one share drawn for the step.

    torchvision's transforms (Zhang et al., *mixup*, 2018; Yun et al., *CutMix*, 2019). What they draw is a function of
    seed, step and rank, as all that is drawn in a step.

    Args:
        type (str): 'MixUp' or 'CutMix'.
        alpha (float): The share is drawn from Beta(alpha, alpha).
        num_classes (int): N of the labels.

    Raises:
        UserError: Another type, or numbers that torchvision does not take.
    """

    def __init__(self, type: str, num_classes: int, alpha: float = 1.0) -> None:
        if type not in MIXES:
            raise UserError(f'batch_mix.type was expected to be {" or ".join(MIXES)}, and is {type!r}: choose one.')
        if not alpha > 0 or not num_classes > 0:
            raise UserError(
                f'alpha and num_classes of batch_mix were expected to be positive, and they are {alpha} and '
                f'{num_classes}: set both.'
            )
        self.mix = MIXES[type](alpha=float(alpha), num_classes=num_classes)
        self.num_classes = num_classes

    def check(self, labels: Tensor | None) -> None:
        """Look at the labels of a batch, while they are on the CPU: a GPU would be waited for.

        Raises:
            UserError: One is not below N.
        """
        if labels is not None and int(labels.max()) >= self.num_classes:
            raise UserError(
                f'labels below {self.num_classes} were expected, the num_classes of batch_mix, and there is '
                f'{int(labels.max())}: set model.data_preprocessor.batch_mix.num_classes to the number of classes.'
            )

    def __call__(self, images: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """``[B, 3, H, W], [B]`` -> ``[B, 3, H, W], [B, N]``; of images without labels only the images are mixed."""
        if labels is None:
            return self.mix(images, images.new_zeros(len(images)).long())[0], None
        return self.mix(images, labels)
