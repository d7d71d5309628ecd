# What the rows on CIFAR-100 share. Mean and std are CIFAR-10's, as in the reference code.
_base_ = [
    '_method.py', '../_base_/datasets/cifar100_bs64.py', '_recipe.py',
    '../_base_/default_runtime.py'
]

data_preprocessor = dict(
    type='ImagePreprocessor',
    mean=[125.307, 122.961, 113.8575],  # .4914, .4822, .4465
    std=[51.5865, 50.847, 51.255])  # .2023, .1994, .2010
train_dataloader = dict(batch_size=128)

model = dict(data_preprocessor=data_preprocessor)
val_evaluator = _base_.evaluator
test_evaluator = _base_.evaluator

# accuracy/top1 is the better network's.
default_hooks = dict(checkpoint=dict(save_best='accuracy/top1', rule='greater'))
