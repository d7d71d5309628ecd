"""What FiniteHook saves replays the step, without data and without running anything from the file."""

import pytest
import torch

from hsakd_mm.engine.failed_step import from_plain, load_failed_step, to_plain
from hsakd_mm.engine.replay import replay
from hsakd_mm.errors import UserError
from tests.faults.nan import NaNImage
from tests.faults.test_finite import ROW, guarded
from tests.test_every_method import METHODS, config  # noqa: F401  a fixture


class HugeWeight(NaNImage):
    """Makes one weight so large that the loss overflows; the images are well."""

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if runner.iter in self.steps:
            next(runner.model.parameters()).data.fill_(float('inf'))


@pytest.mark.parametrize('method', METHODS)
def test_every_methods_step_is_replayed_without_its_data(method, config, tmp_path, monkeypatch, seen) -> None:  # noqa: F811
    torch.set_num_threads(1)
    cfg = config(METHODS[method])
    cfg.train_dataloader.batch_size = 8
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    runner = guarded(cfg, tmp_path / 'run', [HugeWeight(steps=(2,))])
    with pytest.raises(UserError, match='at iteration 3'):
        runner.train()
    monkeypatch.setattr('hsakd_mm.datasets.images.read_rgb', None)
    step = load_failed_step(str(tmp_path / 'run'))
    done = replay(step)
    assert done.losses.keys() >= step['losses'].keys()
    for name, value in step['losses'].items():
        torch.testing.assert_close(done.losses[name], value, equal_nan=True, rtol=0, atol=0)
    assert done.first is not None and len(step['images']) == 8
    outcome = 'replay_step.py: the same losses bit for bit, the first module'
    seen(ROW, 'an infinite weight at step 3', outcome, method=method)


def test_the_tool_says_what_it_found(config, tmp_path, capsys, monkeypatch) -> None:  # noqa: F811
    from tests.conftest import REPO
    from tests.tools.commands import module

    torch.set_num_threads(1)
    cfg = config(next(name for key, name in METHODS.items() if key == 'hsakd/HSAKD'))
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    with pytest.raises(UserError):
        guarded(cfg, tmp_path / 'run', [NaNImage(steps=(1,))]).train()
    tool = module(REPO / 'tools/analysis_tools/replay_step.py')
    monkeypatch.setattr('sys.argv', ['replay_step.py', str(tmp_path / 'run')])
    tool.main()
    said = capsys.readouterr().out
    assert 'iteration 2, epoch 1, rank 0' in said and 'loss_ce' in said
    assert 'first module whose output is not finite: ' in said and '(its input was not finite either)' in said
    assert said.count('image: ') == 16


def test_a_folder_or_file_without_a_step_is_refused(tmp_path) -> None:
    with pytest.raises(UserError, match='a step that failed was expected in'):
        load_failed_step(str(tmp_path))
    torch.save(dict(state_dict={}), tmp_path / 'a.pth')
    with pytest.raises(UserError, match='the file holds something else'):
        load_failed_step(str(tmp_path / 'a.pth'))


def test_a_detectors_batch_goes_to_a_file_and_back() -> None:
    structures = pytest.importorskip('mmdet.structures')
    from mmdet.structures.bbox import HorizontalBoxes
    from mmengine.structures import InstanceData

    boxes = HorizontalBoxes(torch.tensor([[0.0, 1.0, 2.0, 3.0]]))
    sample = structures.DetDataSample(metainfo=dict(img_path='a.jpg', ori_shape=(4, 4)))
    sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.tensor([1]))
    batch = dict(inputs=[torch.zeros(3, 4, 4)], data_samples=[sample])
    back = from_plain(to_plain(batch))['data_samples'][0]
    assert torch.equal(back.gt_instances.bboxes.tensor, boxes.tensor) and back.metainfo == sample.metainfo
    with pytest.raises(UserError, match='it is not read'):
        from_plain({'__element__': 'os:system', 'meta': {}, 'data': {}})
