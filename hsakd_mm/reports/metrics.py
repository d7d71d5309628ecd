"""The detection metrics of a run: their names in mmdet's logs and in our tables."""

from hsakd_mm.engine.scalars import read_curve

# What detectors' metrics are called in mmdet's logs, in parts of 1, and in a row, in percent.
METRICS = {
    'AP': ('coco/bbox_mAP',),
    'AP50': ('coco/bbox_mAP_50', 'pascal_voc/mAP'),
    'AP75': ('coco/bbox_mAP_75',),
    'AP_S': ('coco/bbox_mAP_s',),
    'AP_M': ('coco/bbox_mAP_m',),
    'AP_L': ('coco/bbox_mAP_l',),
}
NOISE = 1.0  # percent: a detector with a lower AP has hardly learnt anything


def read_metrics(work_dir: str, step: int) -> dict:
    """The final AP, AP50, AP75, AP_S, AP_M and AP_L of a detector's run in percent, as far as it logged them.

    Args:
        work_dir (str): The run's.
        step (int): Its last epoch. A metric that was last logged for another epoch is left out.
    """
    curves = {key: read_curve(work_dir, key) for keys in METRICS.values() for key in keys}
    return in_percent({key: curve[-1][1] for key, curve in curves.items() if curve and curve[-1][0] == step})


def in_percent(logged: dict) -> dict:
    """Convert metrics under mmdet's names, in 0..1, to AP, AP50, … in percent; -1 becomes None."""
    metrics = {}
    for name, keys in METRICS.items():
        for key in keys:
            if key in logged:
                value = logged[key]  # COCO says -1 where there is nothing to find
                metrics[name] = 100 * value if value >= 0 else None
    return metrics
