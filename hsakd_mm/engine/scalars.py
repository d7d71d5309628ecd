"""Reads what a run logged, from the ``scalars.json`` files of mmengine's local visualizer backend."""

import glob
import json
import os


def read_curve(work_dir: str, key: str) -> list:
    """What a run logged under ``key``, over all its starts: ``[(step, value), ...]``.

    Validation is logged by epoch, training by iteration. A run that was resumed, or started anew
    in the same folder, has logged some steps twice: the later start counts from its first step on.
    """
    curve: list = []
    for path in sorted(glob.glob(os.path.join(glob.escape(work_dir), '*', 'vis_data', 'scalars.json'))):
        with open(path) as file:
            lines = [json.loads(line) for line in file if line.strip().endswith('}')]
        points = [(line['step'], line[key]) for line in lines if key in line]
        if points:
            curve = [point for point in curve if point[0] < points[0][0]] + points
    return curve
