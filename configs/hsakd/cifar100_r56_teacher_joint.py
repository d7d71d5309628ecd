# The paper's Teacher*: ResNet-56 and its branches learn together, from scratch.
_base_ = '_cifar100_teacher_joint.py'

model = dict(backbone=dict(type='CifarResNet', depth=56, num_classes=100))
