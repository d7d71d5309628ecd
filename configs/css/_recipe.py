# The reference code's recipe: 300 epochs, SGD without Nesterov, 128 images a step. lr rises in five
# equal steps to 0.1 and is divided by ten for the 150th and the 225th epoch, counted from 1 as
# there: after 149 and 224.
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4))
param_scheduler = [
    dict(type='LinearLR', by_epoch=True, start_factor=0.2, begin=0, end=5),
    dict(type='MultiStepLR', by_epoch=True, milestones=[149, 224], gamma=0.1),
]

train_cfg = dict(by_epoch=True, max_epochs=300, val_interval=1)
val_cfg = dict()
test_cfg = dict()

# lr is for 128 images a step; `--auto-scale-lr` rescales it for other numbers of GPUs.
auto_scale_lr = dict(base_batch_size=128)
