"""Rejects images without labels where a method or a metric reads them, before the first step."""

from hsakd_mm.datasets.same_classes import folder_of, labelled_parts
from hsakd_mm.errors import UserError
from hsakd_mm.models.distillers.base import BaseDistiller
from hsakd_mm.models.distillers.labels import no_labels
from hsakd_mm.models.unwrapped import unwrapped


def check_labels(runner) -> None:
    """Check the loops that are built.

    Raises:
        UserError: A method or a metric needs labels, and the data of its loop has none; or some of the training data.
    """
    model = unwrapped(runner.model)
    dataset = getattr(getattr(runner._train_loop, 'dataloader', None), 'dataset', None)
    if isinstance(model, BaseDistiller) and dataset is not None:
        parts = labelled_parts(dataset)
        if False in parts and model.needs_labels:
            raise no_labels(model, f'the training data in {_folder(dataset)}')
        if len(parts) > 1:
            raise UserError(
                'training images with labels, or all without, were expected, and some have labels and some have none: '
                'read all of them as UnlabelledImages, which takes class folders too.'
            )
    for part, loop in (('val', runner._val_loop), ('test', runner._test_loop)):
        dataset = getattr(getattr(loop, 'dataloader', None), 'dataset', None)
        if dataset is None or False not in labelled_parts(dataset):
            continue
        for metric in getattr(getattr(loop, 'evaluator', None), 'metrics', ()):
            if getattr(metric, 'needs_labels', False):
                raise UserError(
                    f'{type(metric).__name__} compares predictions with labels, and the {part} data in '
                    f'{_folder(dataset)} has none: set {part}_evaluator=dict(type="TeacherAgreement"), or use data '
                    f'with labels.'
                )


def _folder(dataset) -> str:
    while folder_of(dataset) is None and (getattr(dataset, 'datasets', None) or hasattr(dataset, 'dataset')):
        dataset = dataset.datasets[0] if getattr(dataset, 'datasets', None) else dataset.dataset
    return folder_of(dataset) or 'the config'
