"""Every transform of ``torchvision.transforms.v2`` as ``type='torchvision/<Name>'``.

They transform ``results['img']``. The arguments are torchvision's; an interpolation is given by its
name ('bicubic'), and nested ``transforms`` are configs.
"""

import inspect

from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

from hsakd_mm.errors import UserError
from hsakd_mm.registry import TRANSFORMS

from .build import build_transforms
from .formatting import image_of


class TorchvisionTransform:
    """Base class of the registered wrappers; ``wrapped`` is torchvision's class."""

    wrapped: type

    def __init__(self, *args, **kwargs) -> None:
        if isinstance(kwargs.get('interpolation'), str):
            kwargs['interpolation'] = InterpolationMode(kwargs['interpolation'])
        if 'transforms' in kwargs:  # RandomApply, RandomChoice, …
            kwargs['transforms'] = [getattr(each, 'transform', each) for each in build_transforms(kwargs['transforms'])]
        self.transform = self.wrapped(*args, **kwargs)

    def __call__(self, results: dict) -> dict:
        """Transform ``results['img']``.

        Raises:
            UserError: The transform cannot be applied to this image, such as a crop to one that is smaller.
        """
        try:
            results['img'] = self.transform(image_of(results, self))
        except (ValueError, RuntimeError, TypeError, MemoryError, OverflowError) as error:
            height, width = F.get_size(results['img'])
            name = results.get('img_path') or f'number {results.get("sample_idx")}'
            raise UserError(
                f'{self} cannot be applied to the image {name} of {width} x {height} pixels ({error}): change the '
                f'pipeline, or resize or remove the image.'
            ) from error
        return results

    def __repr__(self) -> str:
        return f'torchvision/{self.transform}'


for _name, _wrapped in inspect.getmembers(v2, inspect.isclass):
    if issubclass(_wrapped, v2.Transform):
        TRANSFORMS.register_module(
            f'torchvision/{_name}',
            module=type(_name, (TorchvisionTransform,), dict(wrapped=_wrapped, __module__=__name__)),
        )
