# The detector of the small benchmark: the transfer protocol on Vehicles, by AdamW and with nothing
# frozen, BatchNorm included: so short a pretraining leaves no layer worth freezing, and all rows,
# "random" too, are trained alike.
_base_ = '../../transfer/faster-rcnn_r18_fpn_vehicles.py'

model = dict(backbone=dict(frozen_stages=-1, norm_eval=False))
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=2e-4, weight_decay=0.05))
