"""The text and tables of a comparison, as blocks of a page."""

from collections.abc import Sequence

from . import comparison_costs
from .comparison_significance import HEADS, columns, contains_zero, coverage, needed, p_values, seeds_verdict, verdict
from .curves import have_shape
from .metrics import METRICS, NOISE
from .origins import ABSENT, checkpoint_table, origin_items
from .page import Heading, Items, Picture, Table, Text, escaped
from .table import COLUMNS

FAILED = 'failed'
PAPER = {'Baseline': 76.18, 'KD': 77.06, 'CRD': 77.36, 'SSKD': 77.60, 'HSAKD': 78.45}
PAPER_NOTE = (
    '**Not the same setting as above**, and not to be compared with it: Pascal VOC, ResNet-18, mAP (%), from the '
    'slides of HSAKD, page 26, which give no detector, split or schedule.'
)


def blocks(made) -> list:
    """The report of a :class:`.comparison.Comparison`, from the result to the origins of its numbers."""
    return [
        *([Text(made.setting)] if made.setting else []),
        *_result(made),
        Picture(made.pictures['overview'], _overview_caption(made)),
        table(made),
        *map(Text, filter(None, [_how(made), _significance(made), *made.notes])),
        *_failed(made.failed),
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
            f'{escaped(made.baseline)} and {escaped(made.best or "")}: images spread evenly over the test set, not '
            f'picked.',
        ),
        *([Heading('What is missing, and what to know'), Items(made.remarks)] if made.remarks else []),
        *([Heading("The paper's numbers"), Text(PAPER_NOTE), _paper()] if made.voc else []),
        Heading('Where the numbers come from'),
        *([Items(_starts(made.origins))] if made.origins else []),
        checkpoint_table(made.runs, made.measure),
        Items(origin_items(made.runs)),
    ]


def _result(made) -> list:
    """The headline: which figures do not fit together, and the result of the other names."""
    texts = []
    if made.misfits:
        which = 'at all' if made.baseline in made.misfits else f'for {_listed(list(made.misfits))}'
        first, *more = made.misfits.values()
        below = ' For the other names see below.' if more else ''
        texts = [f'**The figures do not fit together**, and no difference is shown {which}. {first}{below}']
    if made.baseline not in made.misfits:
        noise = all(row[made.measure]['mean'] < NOISE for row in made.rows if row[made.measure])
        texts = [*texts, _best(made), *(_pair(pair, made.measure) for pair in made.pairs if not noise)]
    return list(map(Text, texts))


def _pair(pair: dict, measure: str) -> str:
    names = f'**{escaped(pair["name"])}** to **{escaped(pair["to"])}**'
    start = f'{names}: Δ{measure} {_difference(pair["difference"])}.'
    return ' '.join(filter(None, [start, verdict(pair), seeds_verdict(pair)]))


def _best(made) -> str:
    key, others = made.measure, made.others
    rows = {row['name']: row for row in made.rows}
    base, baseline = rows[made.baseline][key], f'**{escaped(made.baseline)}**'
    top = max((row[key]['mean'] for row in made.rows if row[key]), default=None)
    if top is None:
        return f'**There is no {key}** of any run.'
    if top < NOISE:
        return (
            f'**Every {key} is below {NOISE:g}, which is noise**: the highest is {top:.2f}. These detectors have '
            f'hardly learnt anything, and their differences say nothing about the pretraining: train longer, or on '
            f'more images.'
        )
    if made.best is None or not base:
        return f'Baseline: {baseline}.'
    best, row = f'**{escaped(made.best)}**', rows[made.best]
    start = (
        f'{best} has a mean {key} of '
        if len(others) == 1
        else f'Of {_listed(others)}, {best} has the highest mean {key}: '
    )
    text = f'{start}{_value(row[key])}, {_difference(row["difference"])} to the baseline {baseline} ({_value(base)}).'
    clear = row['difference']['low'] is not None and not contains_zero(row['difference'])
    chosen = f'It was chosen as the highest of {len(others)}, which the interval does not allow for.'
    return ' '.join(filter(None, [text, verdict(row), chosen if clear and len(others) > 1 else '', seeds_verdict(row)]))


def _overview_caption(made) -> str:
    parts = [f'{made.measure} of each seed with its mean']
    if any(row['difference'] and row['difference']['low'] is not None for row in made.rows):
        parts.append(f'the difference to {escaped(made.baseline)} with its 95 % bootstrap interval')
    if have_shape(made.curves):
        parts.append('the learning curves')
    return '; '.join(parts) + '.'


def table(made) -> Table:
    """The figures of every name, a failed one included."""
    keys = [key for key in METRICS if any(row[key] for row in made.rows)]
    known = any(row['top1'] is not None for row in made.rows)
    costs = comparison_costs.has_costs(made.rows)
    main = made.measure
    of_seeds = columns(made.rows)
    heads = [
        COLUMNS['name'][0],
        *[COLUMNS['top1'][0]] * known,
        'Seeds',
        *(COLUMNS[key][0] for key in keys),
        f'Δ{main} to {made.baseline}',
        *(HEADS if of_seeds else ()),
        COLUMNS['seconds'][0],
        *(comparison_costs.HEADS if costs else ()),
    ]
    rows = []
    for row in made.rows:
        cells = [
            *[_value(row['top1'])] * known,
            str(len(row['seeds'])),
            *(_value(row[key], sigma=key == main) if row['seeds'] or key != main else FAILED for key in keys),
        ]
        seconds = ABSENT if row['seconds'] is None else f'{row["seconds"]:,.0f}'
        cost = comparison_costs.cells(row) if costs else ()
        difference = [_difference(row['difference']), *of_seeds.get(row['name'], ())]
        rows.append([row['name'], *cells, *difference, seconds, *cost])
    return Table(heads, rows)


def _how(made) -> str:
    pretrained = [row for row in made.rows if row['pretrainings']]
    own = [row['name'] for row in pretrained if 1 < row['pretrainings'] == len(row['seeds'])]
    shared = [row['name'] for row in pretrained if row['name'] not in own]
    text = (
        f'{made.measure}: mean ± standard deviation over seeds of the detector, in percent, at the end of training; '
        f'the other figures are means. '
    )
    if own:
        text += (
            f'Each seed of {", ".join(map(escaped, own))} starts from its own pretraining, so ± is over these '
            f'too; that of top-1 is over the pretrainings alone. '
        )
    text += 'Seconds: of one run, validations included. '
    if comparison_costs.has_costs(made.rows):
        text += comparison_costs.NOTE.format(baseline=escaped(made.baseline))
    return f'{text}{coverage(made.rows, own, shared, made.images)}'.strip()


def _significance(made) -> str:
    shared = [row['name'] for row in made.rows if 0 < row['pretrainings'] < len(row['seeds'])]
    return ' '.join(filter(None, [p_values(made.rows, shared), needed(made.rows)]))


def _failed(failed: Sequence) -> list:
    items = [f'{escaped(run.name)} (seed {run.seed}): {run.reason}' for run in failed]
    return [Heading('Failed runs'), Items(items)] if failed else []


def _by_class(made) -> list:
    if not made.per_class:
        return []
    names = list(next(iter(made.per_class.values())))
    rows = [
        [label, str(made.objects[label]), *(_number(values[name]) for name in names)]
        for label, values in made.per_class.items()
    ]
    return [*_part(made, 'classes', 'AP by class', 'Mean over seeds.'), Table(['Class', 'Objects', *names], rows)]


def _part(made, part: str, heading: str, caption: str) -> list:
    return [Heading(heading), Picture(made.pictures[part], caption)] if part in made.pictures else []


def _paper() -> Table:
    return Table(['Method', 'mAP (%)'], [[method, f'{value:.2f}'] for method, value in PAPER.items()])


def _starts(origins: dict) -> list:
    """Each sentence once, preceded by the names that it applies to."""
    names: dict = {}
    for name, sentences in origins.items():
        for sentence in sentences:
            names.setdefault(sentence, []).append(name)
    return [f'{", ".join(map(escaped, who))}: {sentence}' for sentence, who in names.items()]


def _listed(names: Sequence[str]) -> str:
    names = [escaped(name) for name in names]
    return ' and '.join(filter(None, [', '.join(names[:-1]), names[-1]]))


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
