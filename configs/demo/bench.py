# The demo, from nothing to a table: real handwritten digits, as pictures and pasted into photographs.
#     bash tools/demo.sh
title = 'Faster R-CNN on digit scenes from three starts of its backbone'
baseline = 'plain'
seeds = [0]
prepare = dict(
    title='digits and digit scenes',
    command=['prepare_demo_data.py', '--out', 'data/demo'],
    produces='data/demo/manifest.json')
measure = 'test'
runs = [
    dict(name='teacher', config='teacher.py', row=False),
    dict(name='plain', config='plain.py'),
    dict(name='HSAKD', config='hsakd.py', needs={'default_hooks.distillation.checkpoint': 'teacher'}),
]
detector = dict(config='faster_rcnn.py')
notes = [
    """Each row is the same Faster R-CNN (half-width ResNet-18, FPN) with another start of its backbone, by the
protocol of configs/transfer: 12 epochs, stem, first stage and BatchNorm statistics frozen; from random weights nothing
is frozen. One seed. Top-1: the pretrained student on digits of the test split. AP: the detector on test scenes after
its last epoch, COCO style, in percent.""",
    """Data: 1,797 real handwritten digits (scikit-learn), as pictures and pasted into crops of photographs. It is
small and made for this demo: the table shows that the pipeline works from end to end, not what the method is worth on
ImageNet and COCO.""",
]
