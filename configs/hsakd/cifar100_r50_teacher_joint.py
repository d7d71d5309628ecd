# The paper's Teacher*: ResNet-50 and its branches learn together, from scratch.
_base_ = '_cifar100_teacher_joint.py'

model = dict(backbone=dict(type='CifarStemResNet', depth=50, num_classes=100))
