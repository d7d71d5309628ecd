# CIFAR-10 with CIFAR-100's recipe; the papers train on CIFAR-100 only, so that this is ours.
_base_ = 'cifar100_bs64.py'

data_preprocessor = dict(
    mean=[125.307, 122.961, 113.8575],  # .4914, .4822, .4465
    std=[62.9932, 62.0887, 66.7048])  # .2470, .2435, .2616

_dataset = dict(type='CIFAR10', data_root='data/cifar10')
train_dataloader = dict(dataset=_dataset)
val_dataloader = dict(dataset=_dataset)
test_dataloader = val_dataloader
