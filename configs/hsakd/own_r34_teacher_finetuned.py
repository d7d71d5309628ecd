# The same, but fine-tuned: backbone, new classifier and branches learn together, from
# torchvision's weights without their classifier.
_base_ = 'own_r34_teacher.py'

model = dict(
    frozen_backbone=False,
    new_head=False,
    checkpoint=None,
    load_backbone_from='torchvision://resnet34')
optim_wrapper = dict(optimizer=dict(lr=0.01))  # a tenth of that from scratch
