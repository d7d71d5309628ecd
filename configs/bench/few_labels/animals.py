# The same backbones in a detector of kangaroos and raccoons; shares the pretraining of vehicles.py.
#     python tools/benchmark.py configs/bench/few_labels/animals.py
_base_ = 'vehicles.py'

detector = dict(
    config='detector_animals.py',
    folder='animals',
    title='Faster R-CNN on animals, pretrained on 25 labelled images of each of 47 classes')
