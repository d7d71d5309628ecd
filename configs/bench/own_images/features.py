# Feature distillation: the student's last map follows the teacher's.
_base_ = '_own.py'

model = dict(
    type='FeatureDistillation',
    data_preprocessor=_base_.data_preprocessor,
    backbone=_base_.student,
    teacher_features=2048)

default_hooks = dict(
    distillation=dict(
        type='DistillationHook',
        checkpoint='timm://resnet50.a1_in1k',
        teacher=dict(
            type='Classifier',
            data_preprocessor=_base_.data_preprocessor,
            backbone=_base_.teacher)))
val_evaluator = dict(type='TeacherAgreement')
test_evaluator = val_evaluator
