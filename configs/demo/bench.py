# The demo, from nothing to a table: real handwritten digits, as pictures and pasted into photographs.
#     bash tools/demo.sh
title = 'Faster R-CNN on digit scenes from five starts of its backbone'
baseline = 'plain, same cost'
pairs = [('HSAKD', 'KD, same cost')]
seeds = [0, 1]
threads = 1  # tiny networks: two runs of one thread beside each other take half as long as two of two in turn
prepare = dict(
    title='digits and digit scenes',
    command=['prepare_demo_data.py', '--out', 'data/demo'],
    produces='data/demo/manifest.json')
# The table is about the 497 digits of the test split; configs/bench/README.md#demo says what was tried on them before.
options = {'val_dataloader.dataset.split': 'test'}
_teacher = {'default_hooks.distillation.checkpoint': 'teacher'}
runs = [
    dict(name='teacher', config='teacher.py', seeds=[0], row=False),
    dict(name='plain', config='plain.py'),
    dict(name='plain, same cost', config='plain.py', cost_of='HSAKD'),
    dict(name='KD, same cost', config='kd.py', cost_of='HSAKD', needs=_teacher),
    dict(name='HSAKD', config='hsakd.py', needs=_teacher),
]
detector = dict(config='faster_rcnn.py')
notes = [
    """The teacher, one for all seeds, has learnt from the 1,000 digits of the training split; the students, the same
quarter-width ResNet-18, have ten digits of each class. So it knows more than they can find out, as in the paper's
few-shot experiments. HSAKD turns its images in one of three ways in each step, at half the cost. **plain, same cost**
is plain training for as many multiply-adds as HSAKD's, **KD, same cost** is KD from the same teacher for as many; the
teacher's own training comes on top, and is told apart. KD was added after the results of the other rows were known,
with the defaults of its class, and had not been tried on these digits before.
Top-1: of the last epoch, on 497 digits that no network is trained on.""",
    """AP: the same Faster R-CNN (FPN) from each start, by the protocol of configs/transfer: stem, first stage and
BatchNorm statistics frozen; from random weights nothing is frozen. After the last of 3 epochs, COCO style, in
percent.""",
    """Data: 1,797 real handwritten digits (scikit-learn), as pictures and pasted into crops of photographs. They are
small and made for this demo: it shows that the pipeline works from end to end, and that the method does what it is
meant to where a teacher knows more than its student can see. It does not show what it is worth on ImageNet and
COCO.""",
]
