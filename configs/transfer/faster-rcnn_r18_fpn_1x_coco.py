# Faster R-CNN R18-FPN on COCO 2017, 1x: 12 epochs, 8 GPUs x 2 images.
# tools/transfer_det.sh sets the file of the backbone's weights.
_base_ = ['_faster-rcnn_fpn.py', 'mmdet::_base_/datasets/coco_detection.py', '_1x.py']
