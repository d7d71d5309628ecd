# 100 epochs, a tenth at 30, 60 and 90; SGD without Nesterov, as the reference code trains ImageNet.
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4))
param_scheduler = dict(type='MultiStepLR', by_epoch=True, milestones=[30, 60, 90], gamma=0.1)

train_cfg = dict(by_epoch=True, max_epochs=100, val_interval=1)
val_cfg = dict()
test_cfg = dict()

# lr is for 256 images a step; `--auto-scale-lr` rescales it for other numbers of GPUs.
auto_scale_lr = dict(base_batch_size=256)
