"""The option ``--branches``: also validate the branches."""

from mmengine.config import Config

from hsakd_mm.errors import UserError
from hsakd_mm.models.distillers.branched import BranchedDistiller
from hsakd_mm.registry import MODELS, type_name


def report_branch_accuracy(cfg: Config) -> None:
    """Make validation and test report the joint and class accuracy of each branch.

    An image then costs M forward passes of backbone and branches instead of one of the backbone.

    Raises:
        UserError: The model has no branches.
    """
    kind = MODELS.get(cfg.model.type)
    if kind is None or not issubclass(kind, BranchedDistiller):
        raise UserError(
            f'--branches needs a model with branches over a pretext task, and '
            f'{cfg.model.type} has none: leave the option out.'
        )
    cfg.model.predict_branches = True
    for part in ('val', 'test'):
        evaluator = cfg.get(f'{part}_evaluator')
        if evaluator is None:
            continue
        wrapped = isinstance(evaluator, dict) and 'metrics' in evaluator  # an Evaluator around them, as mmengine has it
        found = evaluator['metrics'] if wrapped else evaluator
        metrics = list(found) if isinstance(found, list | tuple) else [found]
        if not any(type_name(metric.type) == 'BranchAccuracy' for metric in metrics):
            metrics.append(dict(type='BranchAccuracy'))
        cfg[f'{part}_evaluator'] = dict(evaluator, metrics=metrics) if wrapped else metrics
