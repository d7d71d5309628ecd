# CSS on StanfordDogs: 120 classes.
_base_ = '_fine_grained.py'

train_dataloader = dict(dataset=dict(data_root='data/stanford_dogs'))
val_dataloader = dict(dataset=dict(data_root='data/stanford_dogs'))
test_dataloader = val_dataloader

net = dict(backbone=dict(type='TimmBackbone', model_name='resnet18', num_classes=120))

model = dict(nets=[net, net])
