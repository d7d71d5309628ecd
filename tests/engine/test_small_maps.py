"""Convolutions over maps of a few pixels, as matrix products: the same numbers, where they are meant to be used."""

import copy

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from hsakd_mm.engine import small_maps
from hsakd_mm.engine.small_maps import TapProducts, use_matrix_products
from hsakd_mm.engine.training import train
from hsakd_mm.registry import MODELS
from tests.engine.levers import assert_same_step, networks, step


@pytest.fixture
def products(monkeypatch) -> list:
    """Products of any size are made; the list gets the shape of each image that they were made of."""
    monkeypatch.setattr(small_maps, 'LEAST_WORK', 0)
    usual, shapes = TapProducts.forward, []

    def forward(image, *args):
        shapes.append(tuple(image.shape))
        return usual(image, *args)

    monkeypatch.setattr(TapProducts, 'forward', staticmethod(forward))
    return shapes


def values(conv: nn.Conv2d, image: torch.Tensor, to: torch.Tensor) -> list:
    """What it computes of ``image``, and the gradients of its error against ``to``."""
    image = image.clone().requires_grad_()  # a view's gradient has the view's layout
    out = conv(image)
    error = (out - to).square().sum()
    return [out, *torch.autograd.grad(error, [image, *conv.parameters()])]


@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    'size, kernel, stride, padding, bias',
    [
        ((2, 2), 3, 1, 1, False),
        ((1, 1), 3, 1, 1, True),
        ((1, 2), 3, 1, 1, False),
        ((4, 4), 3, 2, 1, False),
        ((3, 4), 3, 2, 1, True),
        ((2, 2), 1, 1, 0, True),
        ((3, 3), 1, 2, 0, False),
        ((5, 4), (3, 2), (2, 3), (0, 1), False),
        ((2, 1), 5, 1, 2, True),
        ((8, 8), 4, 4, 0, True),
    ],
)
def test_values_and_gradients_are_those_of_a_convolution(
    size, kernel, stride, padding, bias, memory_format, products
) -> None:
    torch.manual_seed(0)
    usual = nn.Conv2d(6, 5, kernel, stride, padding, bias=bias).double()
    small = copy.deepcopy(usual).to(memory_format=torch.channels_last)
    use_matrix_products(small)
    image = torch.randn(3, 6, *size, dtype=torch.float64).to(memory_format=memory_format)
    to = torch.randn_like(usual(image))
    expected, found = values(usual, image, to), values(small, image, to)
    assert products == [image.shape]
    for one, other in zip(expected, found):
        torch.testing.assert_close(other, one, rtol=1e-12, atol=1e-12)
    assert found[0].is_contiguous(memory_format=memory_format)


def test_gradients_by_finite_differences(products) -> None:
    torch.manual_seed(0)
    image, weight = (
        torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in ((2, 2, 3, 3), (3, 2, 3, 3))
    )
    assert torch.autograd.gradcheck(lambda *inputs: TapProducts.apply(*inputs, (2, 2), (1, 1)), (image, weight))


@pytest.mark.parametrize('others', [{'channels_last'}, {'channels_last', 'fold_bn'}], ids=len)
def test_a_step_is_the_same(others, monkeypatch, products) -> None:
    monkeypatch.setattr(small_maps, 'LARGEST_MAP', 8)  # of the small network's last stage
    nets = networks()
    plain = step(*nets, set())
    assert not products
    assert_same_step(plain, step(*nets, {'small_maps', *others}))
    assert len(products) > 10


@pytest.mark.parametrize(
    'conv, image, context',
    [
        (nn.Conv2d(512, 512, 3, padding=1), torch.randn(1, 512, 4, 4), None),
        (nn.Conv2d(64, 64, 3, padding=1), torch.randn(1, 64, 2, 2), None),
        (nn.Conv2d(512, 512, 3, padding=1), torch.randn(512, 2, 2), None),
        (nn.Conv2d(512, 512, 3, padding=1, groups=512), torch.randn(1, 512, 2, 2), None),
        (nn.Conv2d(512, 512, 3, padding=1, padding_mode='reflect'), torch.randn(1, 512, 2, 2), None),
        (nn.Conv2d(512, 512, 3, padding='same'), torch.randn(1, 512, 2, 2), None),
        (nn.Conv2d(512, 512, 3, padding=1), torch.randn(1, 512, 2, 2), torch.autocast('cpu', torch.bfloat16)),
        (nn.Conv2d(512, 512, 3, padding=1).bfloat16(), torch.randn(1, 512, 2, 2).bfloat16(), None),
    ],
    ids=['larger map', 'few channels', 'no batch', 'groups', 'reflected', 'same', 'autocast', 'bfloat16'],
)
def test_others_are_computed_as_usual(conv, image, context, monkeypatch) -> None:
    monkeypatch.setattr(TapProducts, 'forward', None)
    conv = conv.to(memory_format=torch.channels_last)
    use_matrix_products(conv)
    if context is None:
        conv(image)
    else:
        with context:
            conv(image)


def wide(memory_format=torch.channels_last) -> nn.Conv2d:
    torch.manual_seed(0)
    conv = nn.Conv2d(512, 512, 3, padding=1).to(memory_format=memory_format)
    use_matrix_products(conv)
    return conv


def made_by(out: torch.Tensor) -> str:
    return type(out.grad_fn.next_functions[0][0]).__name__  # before the bias is added


@pytest.mark.parametrize('channels', [(3, 16), (4, 8), (8, 16), (12, 16)])
def test_few_channels_and_a_stride_do_not_end_the_process(channels) -> None:
    """With torch 2.11 on AVX-512 the process died of a step or two, by a signal or of a spoilt heap."""
    usual, ours = (nn.Conv2d(*channels, 1, stride=2) for _ in range(2))
    ours.load_state_dict(usual.state_dict())
    use_matrix_products(ours)
    for _ in range(20):
        images = torch.randn(16, channels[0], 56, 56, requires_grad=True)
        wanted, made = usual(images), ours(images.contiguous(memory_format=torch.channels_last))
        torch.testing.assert_close(made, wanted)
        gradient = torch.randn_like(wanted)
        of_images = [torch.autograd.grad(each, images, gradient, retain_graph=True)[0] for each in (wanted, made)]
        torch.testing.assert_close(*of_images)
        of_weights = [
            torch.autograd.grad(each, net.weight, gradient)[0] for each, net in ((wanted, usual), (made, ours))
        ]
        torch.testing.assert_close(*of_weights, rtol=1e-4, atol=1e-4)


def test_the_layout_of_the_weight_decides_and_stays() -> None:
    image = torch.randn(2, 512, 2, 2)
    nhwc, nchw = wide(), wide(torch.contiguous_format)
    before = [conv.weight.stride() for conv in (nhwc, nchw)]
    assert 'TapProducts' in made_by(nhwc(image)) and type(nchw(image).grad_fn).__name__ == 'ConvolutionBackward0'
    assert [conv.weight.stride() for conv in (nhwc, nchw)] == before


def test_a_copy_computes_with_its_own_weight(products) -> None:
    conv = wide()
    twin = copy.deepcopy(conv)
    with torch.no_grad():
        twin.weight.zero_(), twin.bias.zero_()
    image = torch.randn(1, 512, 2, 2)
    assert torch.equal(twin(image), torch.zeros(1, 512, 2, 2)) and conv(image).abs().sum() > 0
    assert len(products) == 2


def test_a_convolution_stays_one_for_others() -> None:
    """torch.fx, inference mode and functional gradients, of which hooks of MMEngine and of users make use."""
    conv, image = wide(), torch.randn(1, 512, 2, 2)
    graph = torch.fx.symbolic_trace(nn.Sequential(conv))
    assert [node.op for node in graph.graph.nodes] == ['placeholder', 'call_module', 'output']
    with torch.inference_mode():
        conv(image)
    conv(image).sum().backward()
    parameters = dict(conv.named_parameters())

    def total(parameters) -> torch.Tensor:
        return torch.func.functional_call(conv, parameters, (image,)).sum()

    torch.testing.assert_close(torch.func.grad(total)(parameters)['weight'], conv.weight.grad)


@pytest.mark.parametrize('fused', [False, True])
def test_stopped_and_gone_on_is_the_same_to_the_last_bit(fused, products) -> None:
    """Also where the maps become larger and no products are made any more."""
    generator = torch.Generator().manual_seed(0)
    images = [torch.randn(8, 3, size, size, generator=generator) for size in (2, 2, 5, 2)]

    def start():
        torch.manual_seed(1)
        net = nn.Conv2d(3, 3, 3, padding=1).to(memory_format=torch.channels_last)
        use_matrix_products(net)
        return net, torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=1e-2, fused=fused)

    def train(net, optimizer, batches) -> None:
        for batch in batches:
            optimizer.zero_grad()
            net(batch).square().mean().backward()
            optimizer.step()

    whole = start()
    train(*whole, images)
    for stop in (1, 2, 3):
        first, second = start(), start()
        train(*first, images[:stop])
        for fresh, stopped in zip(second, first):
            fresh.load_state_dict(copy.deepcopy(stopped.state_dict()))
        train(*second, images[stop:])
        assert torch.equal(whole[0].weight, second[0].weight)
    assert (8, 3, 2, 2) in products and (8, 3, 5, 5) not in products


def test_training_uses_it_for_networks_of_ours_and_their_teacher(config) -> None:
    cfg = config('hsakd', **{'default_hooks.distillation.check': False})
    cfg.experiment_name = cfg.work_dir
    teacher = MODELS.build(cfg.default_hooks.distillation.teacher)
    cfg.default_hooks.distillation.checkpoint = f'{cfg.work_dir}.pth'
    torch.save(dict(state_dict=teacher.state_dict(), meta={}), cfg.default_hooks.distillation.checkpoint)
    runner = Runner.from_cfg(cfg)
    train(runner)
    for model in (runner.model, runner.model.teacher):
        convs = [each for each in model.modules() if isinstance(each, nn.Conv2d)]
        assert convs and all('_conv_forward' in vars(each) for each in convs)


class Detector(BaseModel):
    """Stands for one of MMDetection's: not a method of ours, trained by the same command."""

    def __init__(self, data_preprocessor=None) -> None:
        super().__init__()
        self.conv, self.num_classes = nn.Conv2d(3, 1, 3), 10

    def forward(self, inputs, mode='tensor', **kwargs):
        out = self.conv(torch.stack(list(inputs)).float()).mean()
        return dict(loss=out) if mode == 'loss' else [out]


def test_a_detector_stays_as_it_is(config) -> None:
    """The convolution of its RPN sees maps of all sizes."""
    cfg = config('plain', val_dataloader=None, val_cfg=None, val_evaluator=None)
    cfg.experiment_name, cfg.default_hooks.checkpoint.save_best = cfg.work_dir, None
    cfg.model = dict(type=Detector)
    runner = Runner.from_cfg(cfg)
    train(runner)
    assert '_conv_forward' not in vars(runner.model.conv)
