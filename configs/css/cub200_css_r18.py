# CSS on CUB-200-2011: 200 classes.
_base_ = '_fine_grained.py'

train_dataloader = dict(dataset=dict(data_root='data/cub200'))
val_dataloader = dict(dataset=dict(data_root='data/cub200'))
test_dataloader = val_dataloader

net = dict(backbone=dict(type='TimmBackbone', model_name='resnet18', num_classes=200))

model = dict(nets=[net, net])
