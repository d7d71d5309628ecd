"""What must not change a number, changes none: compared bit for bit through the Runner."""

import torch

from hsakd_mm.models.distillers.hsakd import HSAKDTeacher

SAME = dict(type='Identity')


def test_without_pretext_and_weights_hsakd_is_plain_training(config, run, tmp_path) -> None:
    plain = run(config('plain', epochs=3))

    cfg = config(
        'hsakd',
        epochs=3,
        **{
            'model.pretext': SAME,
            'model.kl_branches': 0.0,
            'model.kl_rotated': 0.0,
            'default_hooks.distillation.teacher.pretext': SAME,
            'default_hooks.distillation.checkpoint': str(tmp_path / 'teacher.pth'),
            'default_hooks.distillation.check': False,
        },
    )
    teacher = HSAKDTeacher(cfg.default_hooks.distillation.teacher.backbone, pretext=SAME)
    torch.save(dict(state_dict=teacher.state_dict()), tmp_path / 'teacher.pth')
    student = run(cfg)

    assert plain.iter == student.iter == 6
    theirs = student.model.backbone.state_dict()
    for key, value in plain.model.backbone.state_dict().items():
        assert torch.equal(value, theirs[key]), key
    losses = [runner.message_hub.get_scalar('train/loss_ce').data[0] for runner in (plain, student)]
    assert losses[0].tolist() == losses[1].tolist()
