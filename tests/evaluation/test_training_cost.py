"""What a training image costs: the same on the meta device and on the CPU."""

import pytest
from mmengine.config import Config

from hsakd_mm.evaluation import training_cost
from hsakd_mm.evaluation.training_cost import training_macs


@pytest.mark.parametrize('name', ['test_vit', 'test_resnet'])
def test_a_step_that_looks_at_values_costs_as_much(monkeypatch, name) -> None:
    """Attention as well, which the CPU computes in one kernel."""
    cfg = Config(
        dict(model=dict(type='Classifier', backbone=dict(type='TimmBackbone', model_name=name, num_classes=4)))
    )
    cfg.model.data_preprocessor = dict(type='ImagePreprocessor', mean=[0, 0, 0], std=[255, 255, 255])
    of_shapes = training_macs(cfg, 160)

    def refuse(model) -> None:
        raise NotImplementedError

    monkeypatch.setattr(training_cost, '_without_weights', refuse)
    assert training_macs(cfg, 160) == of_shapes
