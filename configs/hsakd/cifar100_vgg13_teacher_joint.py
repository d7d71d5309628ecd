# The paper's Teacher*: VGG13-bn and its branches learn together, from scratch.
_base_ = '_cifar100_teacher_joint.py'

model = dict(backbone=dict(type='VGG', depth=13, num_classes=100))
