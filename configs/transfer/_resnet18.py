# The backbone that every detector here is given, and its switches. MMDetection's ResNet has the key
# names of the exported file; R34 and R50 change its depth.
#
# frozen_stages  1: stem and layer1 stay as pretraining left them; what distillation taught them is
#                kept, and cannot adapt to large pictures. 0: only the stem stays; -1: all trains.
# norm_eval      True: BatchNorm normalises with the mean and variance of the pretraining's images,
#                since 2 pictures a GPU give poor ones. False: the detector's images replace them
#                within a few hundred steps; use SyncBN then.
# norm_cfg       type='SyncBN' (GPUs only): statistics over all pictures of a step; it does nothing
#                while norm_eval is True. requires_grad: whether BatchNorm's weight and bias train.
# The learning rate stands in the recipe's file: a higher one carries the backbone further from
# where distillation left it, which hides the difference between two pretrainings.
backbone = dict(
    depth=18,
    frozen_stages=1,
    norm_eval=True,
    norm_cfg=dict(type='BN', requires_grad=True),
    style='pytorch',
    # tools/transfer_det.sh names the file; what does not fit it to the last tensor is refused.
    init_cfg=dict(type='hsakd_mm.StrictPretrained', checkpoint=None))
