# The detector of the small benchmark: the transfer protocol on Vehicles.
_base_ = '../../transfer/faster-rcnn_r18_fpn_vehicles.py'
