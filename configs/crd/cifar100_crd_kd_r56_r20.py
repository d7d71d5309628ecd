# CRD+KD: ResNet-20 learns from the plain ResNet-56.
_base_ = 'cifar100_crd_r56_r20.py'

model = dict(kd_weight=1.0)
