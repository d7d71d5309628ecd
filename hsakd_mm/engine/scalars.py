"""Reads the ``scalars.json`` files of mmengine's local visualizer backend."""

import glob
import json
import os


def read_logs(work_dir: str) -> list:
    """What a run logged: for each of its starts, in order, a list of dicts."""
    logs = []
    for path in sorted(glob.glob(os.path.join(glob.escape(work_dir), '*', 'vis_data', 'scalars.json'))):
        with open(path) as file:
            logs.append([json.loads(line) for line in file if line.strip().endswith('}')])
    return logs


def read_curve(work_dir: str, key: str) -> list:
    """The values logged under ``key``, over all starts of a run: ``[(step, value), ...]``.

    Validation is logged by epoch, training by iteration. If a run was resumed, or started again in the
    same folder, a later start replaces the earlier values from its first step on.
    """
    curve: list = []
    for lines in read_logs(work_dir):
        points = [(line['step'], line[key]) for line in lines if key in line]
        if points:
            curve = [point for point in curve if point[0] < points[0][0]] + points
    return curve
