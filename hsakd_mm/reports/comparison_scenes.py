"""Draws the pictures of a comparison, among them the same test images with two models' detections."""

import os

import numpy as np
from PIL import Image

from hsakd_mm.datasets.images import upright
from hsakd_mm.evaluation.average_precision import IOUS
from hsakd_mm.evaluation.detection_records import FILE, of_image, read_record

from . import comparison_pictures
from .curves import have_shape
from .pictures import colours_of, draw_grid

SCENES = 4


def draw_all(made, matches: dict, grouped: dict, out_dir: str, of_curves: str) -> None:
    """Draw what there is data for, and note the files in ``made.pictures``.

    Args:
        made (Comparison): What the report says.
        matches (dict[str, list[Matches]]): Of the names that are compared in detail.
        grouped (dict[str, list[dict]]): Each name's runs.
        out_dir (str): Where the pictures go.
        of_curves (str): The metric of the learning curves.
    """

    def beside(name: str) -> str:
        return os.path.join(out_dir, name)

    made.pictures['overview'] = beside('report.png')
    comparison_pictures.draw_overview(
        made.rows, made.curves, made.measure, of_curves, made.pictures['overview'], made.title, made.baseline
    )
    if have_shape(made.curves):
        made.pictures['curves'] = beside('learning_curves.png')
        comparison_pictures.draw_curves(made.curves, of_curves, made.pictures['curves'], 'Learning curves')
    if matches:
        names = [row['name'] for row in made.rows]
        precision = {
            name: np.mean([np.nanmean(each.precision(), axis=0) for each in seeds], axis=0)
            for name, seeds in matches.items()
            if np.isfinite(seeds[0].ap())
        }
        if precision:
            made.pictures['precision'] = beside('precision_recall.png')
            comparison_pictures.draw_precision_recall(
                {iou: {name: by[np.isclose(IOUS, iou)][0] for name, by in precision.items()} for iou in (0.5, 0.75)},
                names,
                made.pictures['precision'],
                'Precision and recall',
            )
        made.pictures['classes'] = beside('classes.png')
        comparison_pictures.draw_classes(made.per_class, made.objects, names, made.pictures['classes'], 'AP by class')
    _draw_scenes(made, matches, grouped, beside('detections.jpg'))


def _draw_scenes(made, matches: dict, grouped: dict, file: str) -> None:
    """The detections of the baseline and of the best other name, on images spread evenly over the test set."""
    pair = [name for name in (made.baseline, made.best) if name in matches]
    if len(pair) < 2:
        return
    records = [read_record(os.path.join(grouped[name][0]['folder'], FILE)) for name in pair]
    used = {box['image'] for box in records[0]['truth'] if not box['ignore']}
    images = [image for image in records[0]['images'] if image['id'] in used]
    chosen = [images[int(number)] for number in np.linspace(0, len(images) - 1, min(SCENES, len(images)))]
    try:
        opened = [Image.open(image['file']) for image in chosen]
        pixels = [np.asarray(upright(image.convert('RGB'), image)) for image in opened]
    except OSError as error:
        made.remarks.append(
            f'No detections are drawn: a test image cannot be read from {os.getcwd()} ({error.strerror or error}).'
        )
        return
    if not pixels:
        return
    names = colours_of(row['name'] for row in made.rows)
    made.pictures['detections'] = file
    draw_grid(
        pixels,
        [of_image(records[0], image['id'])[0] for image in chosen],
        {name: [of_image(record, image['id'])[1] for image in chosen] for name, record in zip(pair, records)},
        file,
        records[0]['classes'],
        colours=names,
        title=f'The same test images, seed {grouped[pair[0]][0]["seed"]}'
        + ('' if grouped[pair[0]][0]['seed'] == grouped[pair[1]][0]['seed'] else f' and {grouped[pair[1]][0]["seed"]}'),
    )
