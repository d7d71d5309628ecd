# The paper's Teacher*: ResNet-32x4 and its branches learn together, from scratch.
_base_ = '_cifar100_teacher_joint.py'

model = dict(backbone=dict(type='CifarResNet', depth=32, width=(32, 64, 128, 256), num_classes=100))
