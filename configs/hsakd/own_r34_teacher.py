# A teacher of your own classes: torchvision's ResNet-34, frozen, on which a new classifier and
# branches learn. Images lie in data/own/{train,val}/<class>/.
_base_ = 'imagenet_r34_teacher.py'

model = dict(backbone=dict(num_classes=10), new_head=True)

# Greyscale or CMYK among your photographs may be a mistake: non_rgb='convert' if it is none.
_own = dict(data_root='data/own', non_rgb='error')
train_dataloader = dict(dataset=_own)
val_dataloader = dict(dataset=_own)
test_dataloader = dict(dataset=_own)
