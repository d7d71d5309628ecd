"""How often a student says what its teacher says: validation without labels."""

from collections.abc import Sequence

import torch
from mmengine.evaluator import BaseMetric

from hsakd_mm.errors import UserError
from hsakd_mm.registry import METRICS


@METRICS.register_module()
class TeacherAgreement(BaseMetric):
    """``agreement/top1``: percent of images whose first class is the teacher's, from ``pred_scores`` and
    ``teacher_scores``, both ``[N]``. Of FeatureDistillation, whose classes are not trained, ``agreement/cosine``: the
    mean of ``teacher_cosine``.

    Labels are not read; images may have some. The model has to learn from a teacher: DistillationHook has it predict
    what the teacher says, also in a test. Each image then costs the teacher's forward pass too.

    Raises:
        UserError: The model predicts nothing of a teacher.
    """

    default_prefix = 'agreement'
    needs_teacher = True

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        if all('teacher_cosine' in sample for sample in data_samples):
            rows = torch.stack([sample['teacher_cosine'] for sample in data_samples])
            self.results += [dict(cosine=value) for value in rows.tolist()]
            return
        if not all('teacher_scores' in sample for sample in data_samples):
            raise UserError(
                'TeacherAgreement compares a student with its teacher, and the model has predicted nothing of a '
                'teacher: use a method such as HSAKD with default_hooks.distillation, or remove the metric.'
            )
        own, theirs = (torch.stack([each[key] for each in data_samples]) for key in ('pred_scores', 'teacher_scores'))
        same = (own.argmax(1) == theirs.argmax(1)) & ~own.isnan().any(1)
        self.results += [dict(top1=100.0 * each) for each in same.tolist()]

    def compute_metrics(self, results: list) -> dict:
        return {name: sum(row[name] for row in results) / len(results) for name in results[0]}
