# The plain teacher, frozen, with a self-supervised head for SSKD. The bench file sets model.checkpoint.
_base_ = 'strong.py'

model = dict(type='SSKDTeacher')
train_cfg = dict(max_epochs=3, val_interval=1)
