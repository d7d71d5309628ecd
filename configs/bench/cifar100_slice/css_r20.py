# CSS: two ResNet-20 of three branches teach each other; nothing is trained before.
_base_ = '_slice.py'

net = dict(backbone=dict(type='CifarResNet', depth=20, num_classes=10))

model = dict(type='CSS', data_preprocessor=_base_.data_preprocessor, nets=[net, net])

val_evaluator = [dict(type='Accuracy', topk=(1, 5)), dict(type='EnsembleAccuracy', topk=(1, 5)),
                 dict(type='Diversity')]
test_evaluator = val_evaluator
