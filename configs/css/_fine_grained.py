# What the fine-grained rows share: ResNet-18 from scratch at 224 pixels, CIFAR-100's recipe. No
# source gives the networks, resolution or schedule of the paper; these are our choices.
_base_ = [
    '_method.py', '../_base_/datasets/imagenet_bs32.py', '_recipe.py',
    '../_base_/default_runtime.py'
]

train_dataloader = dict(batch_size=128)

model = dict(data_preprocessor=_base_.data_preprocessor)
val_evaluator = _base_.evaluator
test_evaluator = _base_.evaluator

# accuracy/top1 is the better network's.
default_hooks = dict(checkpoint=dict(save_best='accuracy/top1', rule='greater'))
