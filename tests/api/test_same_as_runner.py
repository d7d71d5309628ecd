"""The numbers of a plain loop are those of mmengine's Runner, for every method: same weights, batches and optimizer."""

import copy

import pytest
import torch
from mmengine.hooks import Hook

from hsakd_mm import api
from tests.faults.exact import start
from tests.test_every_method import METHODS, config  # noqa: F401  a fixture

SGD = dict(lr=0.01, momentum=0.9, weight_decay=5e-4)
# Of a model's config and of its DistillationHook, what is said otherwise here.
ELSEWHERE = ('type', 'backbone', 'nets', 'data_preprocessor', 'load_backbone_from', 'teacher', 'checkpoint', 'check')


class Recorder(Hook):
    """The weights that a run starts from, its batches and its losses."""

    priority = 'VERY_LOW'

    def __init__(self) -> None:
        self.weights, self.batches, self.losses = {}, [], []

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        self.weights = self.weights or copy.deepcopy(runner.model.state_dict())

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.batches.append(copy.deepcopy(data_batch))
        self.losses.append({name: value.detach().clone() for name, value in outputs.items()})


def built(backbone: dict, normalisation: dict) -> api.Network:
    arguments = {name: value for name, value in backbone.items() if name not in ('type', 'model_name', 'num_classes')}
    of = {name: normalisation[name] for name in ('mean', 'std')}
    return api.build_network(backbone['model_name'], backbone['num_classes'], **of, **arguments)


def taught(hook: dict) -> api.Network | api.Distillation | None:
    """The teacher of a config, from its file."""
    if not hook:
        return None
    network = built(hook['teacher']['backbone'], hook['teacher']['data_preprocessor'])
    if hook['teacher']['type'] == 'Classifier':
        teacher = network
    else:
        pretext = {name: value for name, value in hook['teacher'].items() if name in ('pretext', 'branches')}
        teacher = api.distill(network, method=hook['teacher']['type'], **pretext)
    teacher.model.load_state_dict(torch.load(hook['checkpoint'])['state_dict'])
    return teacher


class Loader(list):
    """Recorded batches, and the data set that CRD reads the classes from."""

    def __init__(self, batches: list, dataset) -> None:
        super().__init__(batches)
        self.dataset = dataset


@pytest.mark.parametrize('method', METHODS)
def test_a_plain_loop_has_the_losses_of_a_run(method, config, tmp_path) -> None:  # noqa: F811
    torch.set_num_threads(1)
    torch.manual_seed(0)
    cfg = config(METHODS[method])
    cfg.optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', **SGD))
    cfg.param_scheduler, cfg.auto_scale_lr = None, None
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    taught_by = cfg.default_hooks.get('distillation') or {}
    for part in (cfg.model, taught_by.get('teacher') or {}):  # the digits' is NHWC; here networks are as they are built
        part.get('data_preprocessor', {})['channels_last'] = False
    recorder = Recorder()
    runner = start(cfg, tmp_path / 'run')
    runner.register_hook(recorder)
    runner.train()
    assert len(recorder.losses) == 4

    model, hook = cfg.model.to_dict(), dict(taught_by)
    networks = [built(net['backbone'], model['data_preprocessor']) for net in model.get('nets') or [model]]
    distillation = api.distill(
        networks if 'nets' in model else networks[0],
        taught(hook),
        Loader(recorder.batches[:2], runner.train_dataloader.dataset),
        method=model['type'],
        **{name: value for name, value in (model | hook).items() if name not in ELSEWHERE},
    )
    distillation.model.load_state_dict(recorder.weights)
    optimizer = torch.optim.SGD(distillation.parameters(), **SGD)
    found = []
    for epoch in range(2):
        distillation.loader = recorder.batches[2 * epoch : 2 * epoch + 2]
        for losses in distillation:
            optimizer.zero_grad()
            losses['loss'].backward()
            optimizer.step()
            found.append({name: value.detach() for name, value in losses.items()})
    assert [each.keys() for each in found] == [each.keys() for each in recorder.losses]
    for ours, theirs in zip(found, recorder.losses, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    after = runner.model.state_dict()
    assert after.keys() == distillation.model.state_dict().keys()
    for name, value in distillation.model.state_dict().items():
        assert torch.equal(value, after[name]), name
