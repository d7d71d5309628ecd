from .accuracy import Accuracy, BranchAccuracy
from .detection_records import DetectionRecords
from .ensemble import Diversity, EnsembleAccuracy
from .linear_probe import LinearProbe
from .teacher_agreement import TeacherAgreement

__all__ = [
    'Accuracy',
    'BranchAccuracy',
    'DetectionRecords',
    'Diversity',
    'EnsembleAccuracy',
    'LinearProbe',
    'TeacherAgreement',
]
