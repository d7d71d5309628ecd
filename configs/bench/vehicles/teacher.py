# The paper's Teacher: plain_r34, frozen, grows branches. The bench file sets model.checkpoint.
_base_ = 'teacher_joint.py'

model = dict(frozen_backbone=True)
