"""Detection data: COCO json, VOC xml and YOLO txt, checked and converted."""
