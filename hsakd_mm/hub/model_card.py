"""The model card of an exported backbone: ``README.md`` with Hugging Face's front matter.

Every figure is one that the run recorded, or was measured of the exported network; what is not known is said to be so.
"""

from hsakd_mm.hub.run_record import RunRecord
from hsakd_mm.hub.timm_network import TimmNetwork
from hsakd_mm.version import __version__

UNKNOWN = 'not recorded'


def model_card(network: TimmNetwork, record: RunRecord, sha256: str, license_: str | None, repository: str) -> str:
    """The card as Markdown.

    Args:
        network (TimmNetwork): What is in the folder.
        record (RunRecord): Where it comes from.
        sha256 (str): Of ``model.safetensors``.
        license_ (str): Hugging Face's name of the licence; None writes none.
        repository (str): ``OWNER/NAME`` where it is known; else the commands name the folder.
    """
    facts = dict(_facts(network, record, sha256))
    return '\n'.join(
        [
            *_front_matter(network, record, license_),
            f'# {repository or f"{network.architecture}, {record.method}"}',
            '',
            f'`{network.architecture}` of [timm](https://github.com/huggingface/pytorch-image-models), trained by '
            f'{record.method} with hsakd_mm {__version__}.',
            '',
            '| | |',
            '| --- | --- |',
            *(f'| {name} | {_cell(value)} |' for name, value in facts.items()),
            '',
            '## Use',
            '',
            '```python',
            *_usage(network, repository),
            '```',
            '',
        ]
    )


def _front_matter(network: TimmNetwork, record: RunRecord, license_: str | None) -> list[str]:
    task = 'image-classification' if network.num_classes else 'image-feature-extraction'
    tags = [task, 'timm', 'hsakd_mm', *(['knowledge-distillation'] if record.teacher else [])]
    lines = ['---', 'library_name: timm', f'pipeline_tag: {task}', 'tags:', *(f'- {tag}' for tag in tags)]
    return [*lines, *([f'license: {license_}'] if license_ else []), '---', '']


def _facts(network: TimmNetwork, record: RunRecord, sha256: str):
    cfg, teacher, origin = network.pretrained_cfg, record.teacher, record.origin
    parameters = sum(value.numel() for value in network.net.parameters())
    yield 'Method', record.method or UNKNOWN
    yield 'Parameters', f'{parameters:,}'
    yield 'Classes', f'{network.num_classes}' if network.num_classes else 'no classifier: the method trains none'
    if teacher:
        yield (
            'Teacher',
            _sentence(
                teacher.get('network') or UNKNOWN,
                _percent('top-1 {} on the validation data', teacher.get('top1')),
                f'SHA-256 `{teacher["sha256"]}`' if teacher.get('sha256') else '',
            ),
        )
    images = f'{record.images:,} images' if record.images is not None else ''
    yield 'Training data', _sentence(record.data or UNKNOWN, images)
    yield 'Epoch', f'{_or(record.epoch)} of {_or(record.epochs)}'
    for name, value in record.accuracy.items():
        yield f'{name} (%)', f'{value:.2f}, on {record.validation or UNKNOWN}'
    if not record.accuracy:
        yield 'Accuracy', UNKNOWN
    yield 'Optimizer', _sentence(record.optimizer or UNKNOWN, f'{record.batch} images a step' if record.batch else '')
    yield 'Seed', _or(record.seed)
    height, width = cfg['input_size'][1:]
    yield 'Input', f'{height} x {width}, RGB in 0..1, mean {_numbers(cfg["mean"])}, std {_numbers(cfg["std"])}'
    yield 'Command', f'`{origin["command"]}`' if origin.get('command') else UNKNOWN
    changed = ', with uncommitted changes' if origin.get('dirty') else ''
    yield 'Commit', f'`{origin["commit"]}`{changed}' if origin.get('commit') else UNKNOWN
    gpus = (origin.get('hardware') or {}).get('gpu') or []
    yield (
        'Trained on',
        _sentence(
            ', '.join(gpus) or (origin.get('hardware') or {}).get('cpu') or UNKNOWN,
            f'torch {origin["torch"]}' if origin.get('torch') else '',
            origin.get('date', ''),
        ),
    )
    yield 'Checkpoint', f'`{record.source}`, SHA-256 `{record.source_sha256}`'
    yield '`model.safetensors`', f'SHA-256 `{sha256}`'


def _usage(network: TimmNetwork, repository: str) -> list[str]:
    name = f'hf-hub:{repository}' if repository else 'local-dir:FOLDER'
    lines = [
        'import timm',
        '',
        f"net = timm.create_model('{name}', pretrained=True).eval()",
        f"maps = timm.create_model('{name}', pretrained=True, features_only=True).eval()",
    ]
    if repository:
        lines += ['', '# In MMDetection, with hsakd_mm:', f'# {_init_cfg(name)}']
    return lines


def _init_cfg(name: str) -> str:
    return f"backbone=dict(init_cfg=dict(type='hsakd_mm.StrictPretrained', checkpoint='{name}'))"


def _or(value) -> str:
    return UNKNOWN if value is None else str(value)


def _percent(text: str, value: float | None) -> str:
    return '' if value is None else text.format(f'{value:.2f} %')


def _numbers(values) -> str:
    return ', '.join(f'{value:.4g}' for value in values)


def _sentence(*parts: str) -> str:
    return '; '.join(part for part in parts if part)


def _cell(text: str) -> str:
    return text.replace('|', '\\|').replace('\n', ' ')
