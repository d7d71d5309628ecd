# The demo, from nothing to a table: real handwritten digits, as pictures and pasted into photographs.
#     bash tools/demo.sh
title = 'Faster R-CNN on digit scenes from four starts of its backbone'
baseline = 'plain, same cost'
seeds = [0, 1]
threads = 1  # tiny networks: two runs of one thread beside each other take half as long as two of two in turn
prepare = dict(
    title='digits and digit scenes',
    command=['prepare_demo_data.py', '--out', 'data/demo'],
    produces='data/demo/manifest.json')
# The table is about the 497 digits of the test split; recipes were tried on those of the validation split.
options = {'val_dataloader.dataset.split': 'test'}
runs = [
    dict(name='teacher', config='teacher.py', seeds=[0], row=False),
    dict(name='plain', config='plain.py'),
    dict(name='plain, same cost', config='plain.py', cost_of='HSAKD'),
    dict(name='HSAKD', config='hsakd.py', needs={'default_hooks.distillation.checkpoint': 'teacher'}),
]
detector = dict(config='faster_rcnn.py')
