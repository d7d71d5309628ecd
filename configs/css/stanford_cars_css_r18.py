# CSS on StanfordCars: 196 classes.
_base_ = '_fine_grained.py'

train_dataloader = dict(dataset=dict(data_root='data/stanford_cars'))
val_dataloader = dict(dataset=dict(data_root='data/stanford_cars'))
test_dataloader = val_dataloader

net = dict(backbone=dict(type='TimmBackbone', model_name='resnet18', num_classes=196))

model = dict(nets=[net, net])
