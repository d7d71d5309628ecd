# A short recipe for tiny networks: SGD at a high learning rate, a warm-up, a cosine to zero.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=True, begin=0, end=5, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=5,
        end=75,
        T_max=70,
        convert_to_iter_based=True),
]

train_cfg = dict(by_epoch=True, max_epochs=75, val_interval=15)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=32)
