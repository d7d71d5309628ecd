"""Convolutions over maps of a few pixels as matrix products, on a CPU.

The last stages of an ImageNet network see maps of 2x2 where the images have 64 pixels. A 3x3 kernel then lies outside
the map in more than half of its taps, and oneDNN, made for larger ones, takes up to five times as long as here
(docs/bench/cpu/README.md), where each tap is one product over the places at which it lies inside. The sums are the
same, in another order.

And around a fault of oneDNN in torch 2.11, on a CPU with AVX-512: the gradient of a 1x1 convolution with a stride, of
fewer than 16 channels in NHWC, writes outside its memory, and the process dies.
"""

from types import MethodType

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

# Pixels of an output's side, up to which products are faster.
LARGEST_MAP = 2
# Multiply-adds of a tap that reaches the whole map, for an image. Smaller products gain little of a step's time.
LEAST_WORK = 2**17
# Channels of an input from which oneDNN's 1x1 convolutions with a stride are sound.
SOUND = 16


def use_matrix_products(model: nn.Module) -> None:
    """Have the convolutions of a network of ours compute small outputs as matrix products, if it is on the CPU.

    Only where weights lie in memory as channels_last, which makes a tap's weights a matrix; nothing changes their
    layout here, which optimizer, gradients and checkpoints share. Not for a detector, whose convolutions see small
    and large maps in one step.
    """
    for module in model.modules():
        if type(module) is nn.Conv2d and _is_plain(module) and module.weight.device.type == 'cpu':
            # Of the module alone: its class stays, by which torch.fx and others know a convolution.
            module._conv_forward = MethodType(_conv_forward, module)


def _is_plain(conv: nn.Conv2d) -> bool:
    whole = conv.groups == 1 and conv.dilation == (1, 1)
    return whole and conv.padding_mode == 'zeros' and not isinstance(conv.padding, str)


def _conv_forward(self: nn.Conv2d, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``nn.Conv2d``'s method: small outputs of float32 or float64 by :class:`TapProducts`, others as usual."""
    if not torch.compiler.is_compiling() and _is_small(self, input, weight):
        made = TapProducts.apply(input, weight, self.stride, self.padding)
        return made if bias is None else made + bias[:, None, None]
    strided = self.kernel_size == (1, 1) != self.stride and self.padding == (0, 0)
    if strided and self.in_channels < SOUND and _format(input) == torch.channels_last:
        rows, columns = self.stride
        return F.conv2d(input[..., ::rows, ::columns], weight, bias)  # the same without a stride
    return nn.Conv2d._conv_forward(self, input, weight, bias)


def _is_small(conv: nn.Conv2d, input: Tensor, weight: Tensor) -> bool:
    out = _out_size(input, weight, conv.stride, conv.padding)
    small = min(out) > 0 and max(out) <= LARGEST_MAP and input.dim() == 4
    worth = conv.in_channels * conv.out_channels * out[0] * out[1] >= LEAST_WORK
    plain = input.device.type == 'cpu' and input.dtype == weight.dtype in (torch.float32, torch.float64)
    laid_out = weight.is_contiguous(memory_format=torch.channels_last)
    return small and worth and plain and laid_out and not torch.is_autocast_enabled('cpu')


class TapProducts(torch.autograd.Function):
    """Convolution of (B, C, H, W) with (O, C, KH, KW), a matrix product for each tap of the kernel.

    Inside, maps are (H, W, B, C), so that the places which a tap reaches are the rows of a matrix. Taps of one column
    of the kernel share a part of the map, and their products are added up before they are put into their places.
    """

    @staticmethod
    def forward(image: Tensor, weight: Tensor, stride: tuple, padding: tuple) -> Tensor:
        maps = _rows_first(image)
        height, width = _out_size(image, weight, stride, padding)
        made = maps.new_zeros(height, width, len(image), len(weight))
        for (source, target), rows in _taps(image, weight, stride, padding):
            column = maps[:, source].contiguous()
            product = made if _all(target, width) else torch.zeros_like(made[:, target])
            for (row, place), source_row, target_row in rows:
                _add_product(product[target_row], column[source_row], weight[:, :, row, place].t())
            if product is not made:
                made[:, target] += product
        return _images_first(made, _format(image))

    @staticmethod
    def setup_context(ctx, inputs: tuple, output: Tensor) -> None:
        image, weight, *ctx.steps = inputs
        ctx.save_for_backward(image, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple:
        image, weight = ctx.saved_tensors
        maps, of_out = _rows_first(image), _rows_first(gradient)
        of_maps = torch.zeros_like(maps) if ctx.needs_input_grad[0] else None
        of_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        for (source, target), rows in _taps(image, weight, *ctx.steps):
            column, of_column = maps[:, source].contiguous(), of_out[:, target].contiguous()
            if of_maps is not None:
                product = of_maps if _all(source, maps.shape[1]) else torch.zeros_like(column)
                for (row, place), source_row, target_row in rows:
                    _add_product(product[source_row], of_column[target_row], weight[:, :, row, place])
                if product is not of_maps:
                    of_maps[:, source] += product
            if of_weight is not None:
                for (row, place), source_row, target_row in rows:
                    one, other = of_column[target_row].flatten(0, -2), column[source_row].flatten(0, -2)
                    torch.mm(one.t(), other, out=of_weight[:, :, row, place])
        return None if of_maps is None else _images_first(of_maps, _format(image)), of_weight, None, None


def _taps(image: Tensor, weight: Tensor, stride: tuple, padding: tuple) -> list:
    """For each column of the kernel: ((columns of the map, columns of the output), [(tap, rows, rows), ...])."""
    height, width = (
        [_reach(tap, *sizes) for tap in range(sizes[0])]
        for sizes in zip(weight.shape[-2:], image.shape[-2:], stride, padding)
    )
    return [
        (columns, [((row, column), *rows) for row, rows in enumerate(height) if rows])
        for column, columns in enumerate(width)
        if columns
    ]


def _reach(tap: int, kernel: int, size: int, stride: int, padding: int) -> tuple[slice, slice] | None:
    """Places of the map that a tap of the kernel reaches, and those of the output that it reaches them from."""
    places = range((size + 2 * padding - kernel) // stride + 1)
    inside = [place for place in places if 0 <= place * stride + tap - padding < size]
    if not inside:
        return None
    first, last = (place * stride + tap - padding for place in (inside[0], inside[-1]))
    return slice(first, last + 1, stride), slice(inside[0], inside[-1] + 1)


def _out_size(image: Tensor, weight: Tensor, stride: tuple, padding: tuple) -> tuple[int, int]:
    height, width = (
        (size + 2 * pad - kernel) // step + 1
        for size, kernel, step, pad in zip(image.shape[-2:], weight.shape[-2:], stride, padding)
    )
    return height, width


def _add_product(to: Tensor, one: Tensor, other: Tensor) -> None:
    """Add ``one @ other`` over the last dimension; rows of ``to`` may lie apart."""
    if to.is_contiguous():
        to.flatten(0, -2).addmm_(one.flatten(0, -2), other)
    else:
        to += one @ other


def _all(places: slice, size: int) -> bool:
    return places == slice(0, size, 1) or places == slice(0, size)


def _rows_first(image: Tensor) -> Tensor:
    return image.permute(2, 3, 0, 1).contiguous()


def _images_first(maps: Tensor, memory_format: torch.memory_format) -> Tensor:
    return maps.permute(2, 3, 0, 1).contiguous(memory_format=memory_format)


def _format(image: Tensor) -> torch.memory_format:
    nhwc = image.is_contiguous(memory_format=torch.channels_last) and not image.is_contiguous()
    return torch.channels_last if nhwc else torch.contiguous_format
