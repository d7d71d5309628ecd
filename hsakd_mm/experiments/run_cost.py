"""What a pretraining cost, and apart from it what the training of its teachers cost."""

from collections.abc import Sequence


def cost(run) -> dict:
    """The cost of a finished :class:`~.pretraining.PretrainingRun`; None where something of it was not recorded.

    Returns:
        dict: ``macs`` (multiply-adds) and ``seconds`` of its training, with those of the runs whose weights it goes on
        from; ``teachers_macs`` and ``teachers_seconds`` of the other runs that it needs, and that these need.
    """
    own, teachers = run.lineage(), _others(run.lineage())
    return dict(
        macs=_sum([each.origin().get('macs') for each in own]),
        seconds=_sum([each.stage.read_record().get('seconds') for each in own]),
        teachers_macs=_sum([each.origin().get('macs') for each in teachers]),
        teachers_seconds=_sum([each.stage.read_record().get('seconds') for each in teachers]),
    )


def _others(own: Sequence) -> list:
    """What these runs need, each once, without themselves."""
    titles = {run.title for run in own}
    found: dict = {}
    waiting = list(own)
    while waiting:
        run = waiting.pop()
        if run.title not in titles:
            found[run.title] = run
        waiting += [need for need in run.needs if need.title not in found]
    return list(found.values())


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
