# HSAKD from the teacher alone, on Tiny-ImageNet's pictures without their labels.
_base_ = 'hsakd.py'

model = dict(ce_weight=0.0)

_pictures = dict(
    _delete_=True, type='UnlabelledImages', data_root='data/tiny-imagenet-200', non_rgb='convert')
train_dataloader = dict(dataset=dict(
    **_pictures, split='train', pipeline=_base_.train_dataloader.dataset.pipeline))
val_dataloader = dict(dataset=dict(
    **_pictures, split='val', pipeline=_base_.val_dataloader.dataset.pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, type='TeacherAgreement')
test_evaluator = val_evaluator
