default_scope = 'hsakd_mm'
custom_imports = dict(imports=['hsakd_mm'], allow_failed_imports=False)

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=100),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=2),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    # Each GPU keeps BatchNorm statistics of its own; they are averaged before validating and saving.
    sync_buffers=dict(type='SyncBuffersHook'),
    num_class_check=dict(type='NumClassCheckHook'),
    loop_check=dict(type='LoopCheckHook'),
    run_identity=dict(type='RunIdentityHook'),
    finite=dict(type='FiniteHook'),
    broken_images=dict(type='BrokenImageHook'))

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'))

vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='Visualizer', vis_backends=vis_backends)
log_processor = dict(by_epoch=True)
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=0)
