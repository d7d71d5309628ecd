# CSS: two networks of three branches teach each other. The map before the last stage is 2x2 here, so that no corner of
# it is masked (configs/css/README.md).
_base_ = '../../demo/plain.py'

_net = dict(
    backbone=dict(type='TimmBackbone', model_name='resnet18', num_classes=10, channels=(16, 32, 64, 128)))

model = dict(_delete_=True, type='CSS', data_preprocessor=_base_.data_preprocessor, nets=[_net, _net])
val_evaluator = [dict(type='Accuracy', topk=(1, )), dict(type='EnsembleAccuracy', topk=(1, )), dict(type='Diversity')]
test_evaluator = val_evaluator
