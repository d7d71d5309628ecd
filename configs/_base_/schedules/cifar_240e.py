# 240 epochs, a tenth at 150, 180 and 210; SGD with Nesterov. MobileNetV2 and the ShuffleNets start
# at lr 0.01 instead.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=True))
param_scheduler = dict(type='MultiStepLR', by_epoch=True, milestones=[150, 180, 210], gamma=0.1)

train_cfg = dict(by_epoch=True, max_epochs=240, val_interval=1)
val_cfg = dict()
test_cfg = dict()

# lr is for 64 images a step; `--auto-scale-lr` rescales it for other numbers of GPUs.
auto_scale_lr = dict(base_batch_size=64)
