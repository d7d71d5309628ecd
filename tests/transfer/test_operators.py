"""The stand-in for mmcv._ext against torchvision, and against operators written out plainly."""

import importlib.util
import subprocess
import sys

import pytest
import torch
import torchvision

import hsakd_mm  # noqa: F401  puts the stand-in in place
from hsakd_mm.errors import UserError
from hsakd_mm.transfer import operators
from hsakd_mm.transfer.operators import BUILD_TIME, NAME, REMEDY, REMEDY_OF_FORK, StandIn, provide_operators
from tests.conftest import REPO

pytest.importorskip('mmcv', reason='mmcv is not installed')
if not isinstance(sys.modules.get(NAME), StandIn):
    pytest.skip('compiled mmcv is installed, and its operators are used', allow_module_level=True)

from mmcv import ops


def boxes(count: int = 60, seed: int = 0) -> tuple:
    generator = torch.Generator().manual_seed(seed)
    corners = 50 * torch.rand(count, 2, generator=generator)
    sizes = 1 + 30 * torch.rand(count, 2, generator=generator)
    return torch.cat([corners, corners + sizes], 1), torch.rand(count, generator=generator)


def plain_nms(boxes, scores, threshold, offset) -> list:
    """Greedy suppression, box by box."""
    kept = []
    for index in scores.argsort(descending=True).tolist():
        for other in kept:
            a, b = boxes[index].double(), boxes[other].double()
            sides = (torch.min(a[2:], b[2:]) - torch.max(a[:2], b[:2]) + offset).clamp(min=0)
            areas = [(box[2:] - box[:2] + offset).prod() for box in (a, b)]
            if sides.prod() / (sum(areas) - sides.prod()) > threshold:
                break
        else:
            kept.append(index)
    return kept


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('threshold', [0.1, 0.5, 0.7])
def test_nms_is_greedy_suppression(offset, threshold) -> None:
    corners, scores = boxes()
    dets, kept = ops.nms(corners, scores, threshold, offset=offset)
    assert kept.tolist() == plain_nms(corners, scores, threshold, offset)
    assert torch.equal(dets, torch.cat([corners, scores[:, None]], 1)[kept])


def test_the_offset_matters_and_is_that_of_inclusive_pixels() -> None:
    corners = torch.tensor([[0.0, 0.0, 9.0, 9.0], [0.0, 5.0, 9.0, 14.0]])  # 10 pixels high, 5 shared
    scores = torch.tensor([0.9, 0.8])
    between = (1 / 3 + (4 * 9) / (2 * 81 - 36)) / 2  # offset 1: IoU 1/3, offset 0: 0.286
    assert len(ops.nms(corners, scores, between, offset=0)[1]) == 2
    assert len(ops.nms(corners, scores, between, offset=1)[1]) == 1


def test_nms_of_nothing_and_of_half_precision() -> None:
    assert len(ops.nms(torch.zeros(0, 4), torch.zeros(0), 0.5)[1]) == 0
    corners, scores = boxes()
    corners, scores = corners.bfloat16(), scores.bfloat16()
    expected = torchvision.ops.nms(corners.float(), scores.float(), 0.5)
    assert torch.equal(ops.nms(corners, scores, 0.5)[1], expected)


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('sampling_ratio', [0, 2])
def test_roi_align_equals_torchvision_with_gradients(aligned, sampling_ratio) -> None:
    corners, _ = boxes(12)
    rois = torch.cat([torch.arange(12)[:, None] % 2, corners], 1)
    features = torch.rand(2, 5, 20, 24)
    ours, theirs = features.clone().requires_grad_(), features.clone().requires_grad_()
    got = ops.roi_align(ours, rois, (7, 5), 0.25, sampling_ratio, 'avg', aligned)
    want = torchvision.ops.roi_align(theirs, rois, (7, 5), 0.25, sampling_ratio, aligned)
    assert torch.equal(got, want)
    weights = torch.rand_like(got)
    (got * weights).sum().backward()
    (want * weights).sum().backward()
    assert torch.equal(ours.grad, theirs.grad)


def test_roi_align_gradient_in_float64() -> None:
    rois = torch.tensor([[0.0, 1.2, 1.7, 9.1, 8.3]], dtype=torch.float64)
    features = torch.rand(1, 2, 6, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: ops.roi_align(x, rois, 3, 0.5, 2, 'avg', True), features)


def test_roi_align_under_autocast_keeps_its_type() -> None:
    features = torch.rand(1, 2, 8, 8).bfloat16().requires_grad_()
    rois = torch.tensor([[0.0, 1.0, 1.0, 6.0, 6.0]]).bfloat16()
    with torch.autocast('cpu', torch.bfloat16):
        out = ops.roi_align(features, rois, 2)
    out.float().sum().backward()
    assert out.dtype == features.grad.dtype == torch.bfloat16
    wide = torchvision.ops.roi_align(features.detach().float(), rois.float(), 2, aligned=True)
    assert torch.allclose(out.float(), wide, rtol=1e-2)


def test_roi_align_of_no_boxes() -> None:
    features = torch.rand(1, 2, 8, 8, requires_grad=True)
    out = ops.roi_align(features, torch.zeros(0, 5), 7)
    assert out.shape == (0, 2, 7, 7)
    out.sum().backward()
    assert not features.grad.any()


def test_a_missing_operator_names_itself_and_the_remedy() -> None:
    with pytest.raises(NotImplementedError, match=r'_ext\.softnms .*pip install .*mmcv==') as told:
        ops.soft_nms(*boxes(4))
    assert '--no-build-isolation --no-cache-dir' in str(told.value)
    assert isinstance(told.value, UserError)  # tools print the sentence, not a traceback
    with pytest.raises(NotImplementedError, match=r"roi_align_forward with pool_mode='max'"):
        ops.roi_align(torch.rand(1, 1, 4, 4), torch.zeros(1, 5), 2, 1.0, 0, 'max')


def test_every_page_states_the_same_build_command_and_time() -> None:
    pages = [' '.join(page.read_text().split()) for page in [REPO / 'README.md', *REPO.glob('[!.]*/**/*.md')]]
    after = [text[:100] for page in pages for text in page.split('mmcv==')[1:]]
    assert after and all(BUILD_TIME in text for text in after)
    assert sum(page.count(REMEDY) + page.count(REMEDY_OF_FORK) for page in pages) == len(after)


@pytest.mark.parametrize('fork', [False, True])
@pytest.mark.parametrize('newest', [False, True])
def test_the_command_is_that_of_the_stack(fork, newest, monkeypatch) -> None:
    def version(name: str) -> str:
        if not fork:
            raise operators.metadata.PackageNotFoundError(name)
        return '2.3.6'

    monkeypatch.setattr(operators.metadata, 'version', version)
    monkeypatch.setattr(torch, '__version__', torch.torch_version.TorchVersion('2.14.1' if newest else '2.13.0'))
    command = operators.how_to_compile()
    assert command.endswith(REMEDY_OF_FORK if fork else REMEDY)
    assert command.startswith(operators.OLDER_TORCH) == newest


def test_the_stand_in_is_a_module_that_reports_can_look_up() -> None:
    from mmcv.utils.ext_loader import check_ops_exist

    assert importlib.util.find_spec(NAME).name == NAME
    assert not check_ops_exist()
    assert not hasattr(sys.modules[NAME], '__path__')
    assert 'torchvision' in ops.get_compiler_version()
    assert provide_operators()


def test_compiled_operators_are_left_alone(tmp_path) -> None:
    package = tmp_path / 'mmcv'
    package.mkdir()
    (package / '__init__.py').touch()
    (package / '_ext.py').write_text('compiled = True')  # what the import system would find
    code = (
        'import hsakd_mm, mmcv._ext; assert mmcv._ext.compiled; '
        'from hsakd_mm.transfer.operators import provide_operators as p; assert not p()'
    )
    subprocess.run([sys.executable, '-c', f'import sys; sys.path.insert(0, {str(tmp_path)!r})\n' + code], check=True)


def test_pretraining_imports_neither_mmdet_nor_mmcv() -> None:
    code = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in ('mmdet', 'mmcv'):
            raise ModuleNotFoundError(f'{name} is blocked', name=name)
sys.meta_path.insert(0, Blocker())
import hsakd_mm, hsakd_mm.models, hsakd_mm.engine, hsakd_mm.transfer
import hsakd_mm.checkpoints.export, hsakd_mm.reports.metrics, hsakd_mm.experiments.detector_run
"""
    with_blocker = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert with_blocker.returncode == 0, with_blocker.stderr


@pytest.mark.parametrize('reduction', ['mean', 'sum', 'none'])
def test_focal_loss_and_its_gradient(reduction) -> None:
    """As mmdet writes it for the CPU; the last class number is background."""
    losses = pytest.importorskip('mmdet.models.losses.focal_loss', reason='mmdet is not installed')
    generator = torch.Generator().manual_seed(0)
    logits = (3 * torch.randn(12, 4, generator=generator, dtype=torch.float64)).requires_grad_()
    twin = logits.detach().clone().requires_grad_()
    target = torch.arange(12) % 5
    ours = ops.sigmoid_focal_loss(logits, target, 2.0, 0.25, None, reduction)
    hot = torch.nn.functional.one_hot(target, 5)[:, :4].double()
    theirs = losses.py_sigmoid_focal_loss(twin, hot, gamma=2.0, alpha=0.25, reduction='none')
    theirs = {'mean': theirs.sum() / 12, 'sum': theirs.sum(), 'none': theirs}[reduction]
    torch.testing.assert_close(ours, theirs)
    for loss in (ours, theirs):
        (loss * torch.arange(1.0, 1.0 + loss.numel()).reshape(loss.shape)).sum().backward()
    torch.testing.assert_close(logits.grad, twin.grad)
