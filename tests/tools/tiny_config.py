default_scope = 'hsakd_mm'
custom_imports = dict(imports=['tests.tools.tiny'], allow_failed_imports=False)

model = dict(type='TinyModel')
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    dataset=dict(type='TinySet'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
)
val_dataloader = train_dataloader
test_dataloader = train_dataloader
val_evaluator = dict(type='TinyMetric')
test_evaluator = val_evaluator

optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9))
train_cfg = dict(by_epoch=True, max_epochs=2)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=8)
default_hooks = dict(
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=2), logger=dict(type='LoggerHook', interval=1)
)
randomness = dict(seed=0)
