# The backbone of all detectors here, and its switches. MMDetection's ResNet has the key names of the
# exported file; R34 and R50 change its depth.
#
# frozen_stages  1: stem and layer1 keep their pretrained weights, and do not adapt to larger images.
#                0: only the stem is frozen; -1: all stages are trained.
# norm_eval      True: BatchNorm uses the running statistics of the pretraining, since 2 images per
#                GPU give poor ones. False: the detector's images replace them within a few hundred
#                steps; use SyncBN then.
# norm_cfg       type='SyncBN' (GPUs only): statistics over all images of a step; no effect while
#                norm_eval is True. requires_grad: whether BatchNorm's weight and bias are trained.
# The learning rate is set in the recipe's file. A higher one moves the backbone further from its
# pretrained weights, which hides the difference between two pretrainings.
backbone = dict(
    depth=18,
    frozen_stages=1,
    norm_eval=True,
    norm_cfg=dict(type='BN', requires_grad=True),
    style='pytorch',
    # tools/transfer_det.sh sets the file; every tensor has to match.
    init_cfg=dict(type='hsakd_mm.StrictPretrained', checkpoint=None))
