"""What a comparison says, as blocks of a page: tables, pictures, origins."""

from .metrics import METRICS
from .page import Heading, Items, Picture, Table, Text
from .table import ABSENT, COLUMNS, hardware_of

PAPER = {'Baseline': 76.18, 'KD': 77.06, 'CRD': 77.36, 'SSKD': 77.60, 'HSAKD': 78.45}
PAPER_NOTE = (
    '**Not the same setting as above**, and not to be compared with it: Pascal VOC, '
    'ResNet-18, mAP %, from the slides of HSAKD, page 26, which give no detector, split '
    'or schedule.'
)


def blocks(made) -> list:
    """The report of a :class:`.comparison.Comparison`, from the result to its origins."""
    return [
        Text(_result(made)),
        Picture(made.pictures['overview'], _overview_caption(made)),
        _table(made),
        *map(Text, [_how(made), *made.notes]),
        *_part(made, 'curves', 'Learning curves', 'Mean over seeds, shaded from the lowest to the highest seed.'),
        *_part(
            made,
            'precision',
            'Precision and recall',
            "Mean over classes and seeds; COCO's interpolated precision at 101 recalls.",
        ),
        *_by_class(made),
        *_part(
            made,
            'detections',
            'The same test images',
            f'{made.baseline} and {made.best}, the best of the others: images spread evenly '
            f'over the test set, not picked.',
        ),
        *([Heading('What is missing, and what to know'), Items(made.remarks)] if made.remarks else []),
        Heading("The paper's numbers"),
        Text(PAPER_NOTE),
        Table(list(PAPER), [[f'{value:.2f}' for value in PAPER.values()]]),
        *_origins(made),
    ]


def _result(made) -> str:
    key = made.measure
    rows = {row['name']: row for row in made.rows}
    base = rows[made.baseline]
    if made.best is None or not base[key]:
        return f'Baseline: **{made.baseline}**.'
    best = rows[made.best]
    found = best['difference']
    text = (
        f'Of the others, **{made.best}** has the highest mean {key}: {_value(best[key])}, '
        f'{_difference(found)} to the baseline **{made.baseline}** ({_value(base[key])}).'
    )
    if found['low'] is None:
        return text + ' There is no interval of the difference.'
    inside = found['low'] <= 0 <= found['high']
    chosen = (
        (f' It was chosen as the highest of {len(rows) - 1}, which the interval does not allow for.')
        if len(rows) > 2
        else ''
    )
    return text + (
        ' The interval contains 0: these test images do not tell the two apart.'
        if inside
        else f' The interval does not contain 0.{chosen}'
    )


def _overview_caption(made) -> str:
    parts = [f'{made.measure} of each seed with its mean']
    if any(row['difference'] and row['difference']['low'] is not None for row in made.rows):
        parts.append(f'the difference to {made.baseline} with its 95 % bootstrap interval')
    if any(made.curves.values()):
        parts.append('the learning curves')
    return '; '.join(parts) + '.'


def _table(made) -> Table:
    keys = [key for key in METRICS if any(row[key] for row in made.rows)]
    known = any(row['top1'] is not None for row in made.rows)
    heads = [
        'pretraining',
        *['top-1 %'] * known,
        'seeds',
        *(COLUMNS[key][0] for key in keys),
        f'Δ{made.measure} to {made.baseline}',
        'seconds',
    ]
    main = made.measure
    rows = []
    for row in made.rows:
        cells = [
            *[_value(row['top1'])] * known,
            str(len(row['seeds'])),
            *(_value(row[key], sigma=key == main) for key in keys),
        ]
        seconds = ABSENT if row['seconds'] is None else f'{row["seconds"]:,.0f}'
        rows.append([row['name'], *cells, _difference(row['difference']), seconds])
    return Table(heads, rows)


def _how(made) -> str:
    pretrained = [row for row in made.rows if row['pretrainings']]
    own = [row['name'] for row in pretrained if 1 < row['pretrainings'] == len(row['seeds'])]
    shared = [row['name'] for row in pretrained if row['name'] not in own]
    text = (
        f'{made.measure}: mean ± standard deviation over seeds of the detector, in percent, at '
        f'the end of training; the other figures are means. '
    )
    if own:
        text += (
            f'Each seed of {", ".join(own)} starts from a pretraining of its own, so ± is over '
            f'these too; that of top-1 is over the pretrainings alone. '
        )
    text += 'Seconds: of one run, its validations included.'
    resamples = next(
        (
            row['difference']['resamples']
            for row in made.rows
            if row['difference'] and row['difference']['low'] is not None
        ),
        None,
    )
    if resamples:
        text += (
            f' In brackets: 95 % interval of the difference from {resamples} paired bootstrap '
            f'resamples of the {made.images} test images. It covers the choice of test '
            f'images, not the seeds of training, for which ± stands'
        )
        of = f', of {", ".join(shared)},' if own else ''
        text += f', nor{of} the seed of the pretraining.' if shared or not own else '.'
    return text


def _by_class(made) -> list:
    if not made.per_class:
        return []
    names = list(next(iter(made.per_class.values())))
    rows = [
        [label, str(made.objects[label]), *(_number(values[name]) for name in names)]
        for label, values in made.per_class.items()
    ]
    return [*_part(made, 'classes', 'AP by class', 'Mean over seeds.'), Table(['class', 'objects', *names], rows)]


def _part(made, part: str, heading: str, caption: str) -> list:
    return [Heading(heading), Picture(made.pictures[part], caption)] if part in made.pictures else []


def _origins(made) -> list:
    """What each run started from, and, once for all that share it, how they were made."""
    rows, shared = [], {}
    for run in made.runs:
        sha256 = run.get('checkpoint_sha256')
        rows.append(
            [run['name'], str(run['seed']), _number(run.get(made.measure), 2), f'`{sha256}`' if sha256 else ABSENT]
        )
        changed = ' with changes' if run.get('dirty') else ''
        parts = [
            f'`{run["command"]}`' if run.get('command') else '',
            f'commit `{run["commit"]}`{changed}' if run.get('commit') else '',
            f'torch {run["torch"]}' if run.get('torch') else '',
            hardware_of(run['hardware']) if run.get('hardware') else '',
            _frozen(run.get('frozen')),
        ]
        shared.setdefault('; '.join(filter(None, parts)), {}).setdefault(run['name'], []).append(str(run['seed']))
    items = [f'{_who(who)}: {how or "nothing was recorded"}' for how, who in shared.items()]
    return [
        Heading('Where the numbers come from'),
        *([Items(_starts(made.origins))] if made.origins else []),
        Table(['run', 'seed', made.measure, 'checkpoint SHA-256'], rows),
        Items(items),
    ]


def _starts(origins: dict) -> list:
    """Each sentence once, after the names that it holds for."""
    names: dict = {}
    for name, sentences in origins.items():
        for sentence in sentences:
            names.setdefault(sentence, []).append(name)
    return [f'{", ".join(who)}: {sentence}' for sentence, who in names.items()]


def _who(seeds_of: dict) -> str:
    return ', '.join(f'{name} (seed {", ".join(seeds)})' for name, seeds in seeds_of.items())


def _frozen(sentence) -> str:
    return str(sentence).rstrip('.') if sentence else ''


def _value(values: dict | None, sigma: bool = True) -> str:
    if not values:
        return ABSENT
    spread = f' ± {values["sigma"]:.1f}' if sigma and values['sigma'] is not None else ''
    return f'{values["mean"]:.1f}{spread}'


def _difference(found: dict | None) -> str:
    if not found:
        return ABSENT
    if found['low'] is None:
        return _signed(found['difference'])
    return f'{_signed(found["difference"])} [{_signed(found["low"])}, {_signed(found["high"])}]'


def _signed(value: float) -> str:
    text = f'{value:+.1f}'
    return '0.0' if float(text) == 0 else text.replace('-', '−')


def _number(value: float | None, digits: int = 1) -> str:
    return ABSENT if value is None else f'{value:.{digits}f}'
