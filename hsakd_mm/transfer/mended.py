"""Writes mended copies of annotation files beside a run, and points configs at them."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence

from mmengine.config import Config

from hsakd_mm.files import write_atomically

from .annotations import join
from .evaluators import evaluators_of

PARTS = ('train', 'val', 'test')


def inner_datasets(dataset: dict) -> Iterator:
    """The innermost datasets of ConcatDataset, RepeatDataset and other wrappers."""
    inner = dataset.get('datasets') or ([dataset['dataset']] if dataset.get('dataset') else [])
    if not inner and dataset:
        yield dataset
    for part in inner:
        yield from inner_datasets(part)


def write_copies(contents: Mapping[str, dict | str], folder: str) -> dict:
    """Write each content under a name with its hash, so that a run that is continued writes the same file.

    Args:
        contents (Mapping[str, dict | str]): By real path of the file that it replaces.
        folder (str): Where the copies go.

    Returns:
        dict[str, str]: Path of each copy by real path of the original.

    Raises:
        UserError: A copy cannot be written.
    """
    copies = {}
    for original, content in contents.items():
        text = (content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)).encode()
        stem, ending = os.path.splitext(os.path.basename(original))
        path = os.path.abspath(os.path.join(folder, f'{stem}-{hashlib.sha256(text).hexdigest()[:8]}{ending}'))
        write_atomically(path, lambda file, text=text: file.write(text))
        copies[original] = path
    return copies


def read_instead(configs: Sequence[Config], of_loaders: Mapping[str, str], of_metrics: Mapping[str, str]) -> None:
    """Replace annotation files in configs.

    Args:
        configs (Sequence[Config]): They are changed.
        of_loaders (Mapping[str, str]): New path by real path.
        of_metrics (Mapping[str, str]): The same for evaluators.
    """
    for cfg in configs:
        for part in PARTS:
            for dataset in inner_datasets((cfg.get(f'{part}_dataloader') or {}).get('dataset') or {}):
                path = join(dataset.get('data_root') or '', dataset.get('ann_file') or '')
                if copy := of_loaders.get(os.path.realpath(path)):
                    dataset['ann_file'] = copy
            for evaluator in evaluators_of(cfg, part):
                if copy := of_metrics.get(os.path.realpath(evaluator.get('ann_file') or '')):
                    evaluator['ann_file'] = copy
