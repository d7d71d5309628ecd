# MMDetection's 1x: 12 epochs, /10 after 8 and 11, lr 0.02 for 8 GPUs x 2 images.
_base_ = ['mmdet::_base_/schedules/schedule_1x.py', 'mmdet::_base_/default_runtime.py']
custom_imports = dict(imports=['hsakd_mm'], allow_failed_imports=False)

# The learning rate is for 16 images per step, and is scaled in proportion.
auto_scale_lr = dict(enable=True)
