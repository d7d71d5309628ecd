# Pretraining on the detector's own pictures: COCO's, without labels, by timm's ResNet-50.
#     python tools/benchmark.py configs/bench/own_images/bench.py
# tools/pretrain_and_transfer.sh writes such a file for any teacher, student and data.
title = 'ResNet-18 pretrained on the pictures of its detector, without labels'
work_dir = 'work_dirs/own_images'
baseline = 'plain'
seeds = [0]
runs = [
    dict(name='teacher', config='teacher.py', seeds=[0], metric='branch/joint_max', row=False),
    dict(name='plain', config='plain.py'),
    dict(name='plain, same cost', config='plain.py', cost_of='HSAKD'),
    dict(name='features', config='features.py', metric='agreement/cosine'),
    dict(
        name='HSAKD',
        config='hsakd.py',
        metric='agreement/top1',
        needs={'default_hooks.distillation.checkpoint': 'teacher'}),
]
detector = dict(config='../../transfer/faster-rcnn_r18_fpn_1x_coco.py')
notes = [
    """HSAKD and feature distillation see the pictures without labels; plain training sees each box as an image of its
category. Epochs are equal, cost is not: "plain, same cost" is plain training for as many as cost, in multiply-adds,
what HSAKD costs without its teacher. Top-1 is of plain training alone; of HSAKD it is how often student and teacher
agree, of features the cosine of their maps.""",
]
