# The paper's Teacher*: backbone and branches learn together, from scratch.
_base_ = 'imagenet_r34_teacher.py'

model = dict(frozen_backbone=False, checkpoint=None)
