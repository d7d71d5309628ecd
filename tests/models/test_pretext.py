import pytest
import torch
import torch.nn.functional as F

from hsakd_mm.errors import UserError
from hsakd_mm.models.pretext import Rotation


def test_views_turn_counter_clockwise_and_stay_together() -> None:
    images = torch.arange(2 * 3 * 4 * 4).float().view(2, 3, 4, 4)
    views = Rotation().expand(images)
    assert views.shape == (8, 3, 4, 4)
    torch.testing.assert_close(Rotation().unrotated(views), images)
    for turns in range(4):
        torch.testing.assert_close(views[4 + turns], torch.rot90(images[1], turns, (1, 2)))


def test_joint_labels_name_class_and_view() -> None:
    joint = Rotation().joint_labels(torch.tensor([2, 0]))
    assert joint.tolist() == [8, 9, 10, 11, 0, 1, 2, 3]


@pytest.mark.parametrize('sampled', [None, 1])
def test_joint_targets_of_sure_classes_are_joint_labels(sampled) -> None:
    labels = torch.tensor([2, 0])
    task = Rotation(sampled).draw()
    targets = task.joint_targets(F.one_hot(labels, 3).float())
    assert torch.equal(targets, F.one_hot(task.joint_labels(labels), 12).float())


def test_joint_targets_keep_what_is_unsure() -> None:
    targets = Rotation().joint_targets(torch.tensor([[0.25, 0.75]]))
    assert targets[2].tolist() == [0, 0, 0.25, 0, 0, 0, 0.75, 0]


def test_class_logits_sum_over_views() -> None:
    joint = torch.randn(5, 12)
    expected = torch.stack([joint[:, 4 * label : 4 * label + 4].sum(1) for label in range(3)], 1)
    torch.testing.assert_close(Rotation().class_logits(joint), expected)


def test_only_square_images_can_turn() -> None:
    with pytest.raises(UserError, match=r'square, and these are \[4, 6\]'):
        Rotation().expand(torch.zeros(1, 3, 4, 6))
