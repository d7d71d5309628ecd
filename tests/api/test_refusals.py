"""Every mistake with the library ends in one sentence that says what to do."""

from itertools import count

import pytest
import timm
import torch
from torch.utils.data import DataLoader, Dataset

from hsakd_mm import api
from hsakd_mm.errors import UserError
from hsakd_mm.models.distillers.plain import Classifier
from hsakd_mm.registry import MODELS
from tests.api.networks import branched_teacher, loader, narrow, pictures

IMAGES, LABELS = pictures()


def classifier() -> api.Distillation:
    return api.distill(narrow(), method='Classifier')


@pytest.mark.parametrize(
    'images, labels, said',
    [
        (IMAGES.float(), LABELS, r'from 0 to 255: divide them by 255'),
        (IMAGES / 127.5 - 1, LABELS, r'from -1 to 1: leave out Normalize\(\)'),
        (IMAGES / 0.0, LABELS, 'and they are from nan to nan'),
        (IMAGES.long(), LABELS, r'they are torch.int64: convert them with .to\(torch.uint8\)'),
        (IMAGES[:, :1], LABELS, r'their shape is \[8, 1, 32, 32\]: images.expand'),
        (IMAGES.permute(0, 2, 3, 1), LABELS, r'their shape is \[8, 32, 32, 3\]: .*permute'),
        (IMAGES[0], LABELS[0], r'their shape is \[3, 32, 32\]: images.unsqueeze\(0\)'),
        (IMAGES[:0], LABELS[:0], 'the batch is empty'),
        (IMAGES.numpy(), LABELS, r'there is a ndarray: end the transforms with ToTensor'),
        (IMAGES, LABELS + 3, r'from 0 to 9, were expected, and they are from 3 to 10: .*num_classes=11'),
        (IMAGES, LABELS - 1, 'they are from -1 to 6'),
        (IMAGES, LABELS[:5], r'they are torch.int64 \[5\]'),
        (IMAGES, torch.eye(9)[LABELS], r'torch.float32 \[8, 9\]: .* of each image, or probabilities \[B, N\]'),
        (IMAGES, LABELS.tolist(), 'there is a list: make a tensor'),
        (IMAGES, None, 'Classifier learns, and the batch has none'),
        (IMAGES[:1, :, :16, :16], LABELS[:1], 'a batch of at least two images was expected'),
    ],
)
def test_a_wrong_batch(images, labels, said) -> None:
    with pytest.raises(UserError, match=said):
        classifier()(images, labels)


def same() -> api.Distillation:
    student = narrow()
    return api.distill(student, student, method='KD')


def frozen_student() -> api.Distillation:
    teacher = narrow()
    api.distill(narrow(), teacher, method='KD')
    return api.distill(teacher, narrow(), method='KD')


def twice() -> api.Distillation:
    student = narrow()
    return api.distill([student, student], method='DML')


def teacher_with(**settings) -> api.Distillation:
    return api.distill(narrow(), method='HSAKDTeacher', **settings)


class Unlabelled(Dataset):
    def __len__(self) -> int:
        return 8


class Needy(Classifier):
    def __init__(self, backbone, wish, **kwargs) -> None:
        super().__init__(backbone, **kwargs)


def one_frozen() -> api.Distillation:
    teacher = narrow()
    api.distill(narrow(), teacher, method='KD')
    return api.distill([narrow(), teacher], method='DML')


def of_several(method: str) -> api.Distillation:
    return api.distill(narrow(), api.distill([narrow(), narrow()], method='DML'), method=method)


def contrast(data) -> api.Distillation:
    return api.distill(narrow(), narrow(), data, method='CRD', num_negatives=4)


@pytest.mark.parametrize(
    'build, said',
    [
        (lambda: api.distill(narrow(), method='HSAKID'), "it is 'HSAKID': choose one of CRD, .*HSAKD, "),
        (lambda: api.distill(narrow()), 'HSAKD learns from a teacher, and there is none'),
        (lambda: api.distill(narrow(), narrow()), 'HSAKD needs a teacher with branches, and Classifier has none'),
        (lambda: api.distill(narrow(), narrow(), method='SSKD'), 'use one trained as SSKDTeacher'),
        (lambda: api.distill(narrow(7), narrow(), method='KD'), 'teacher has 10 classes while the student has 7'),
        (lambda: api.distill(narrow(), timm.create_model('resnet18')), 'it is a ResNet: give a network of build_net'),
        (lambda: api.distill(timm.create_model('resnet18'), narrow()), 'and one is a ResNet: build_network'),
        (lambda: api.distill('resnet18', narrow()), 'and one is a str'),
        (lambda: api.distill(narrow(), narrow(), method='DML'), 'DML trains several networks.*give a list'),
        (lambda: api.distill([narrow()] * 2, narrow(), method='KD'), 'KD trains one network'),
        (lambda: api.distill([narrow(), narrow()], narrow(), method='DML'), 'DML has no teacher, and one is given'),
        (lambda: api.distill([narrow(), narrow(7)], method='DML'), 'need the same number of classes'),
        (lambda: api.distill([narrow(), narrow(mean=[9] * 3, std=[9] * 3)], method='DML'), 'normalised differently'),
        (lambda: api.distill(narrow(), method='Classifier', tempo=1), "Classifier has no setting 'tempo': it has"),
        (
            lambda: api.distill(narrow(), narrow(), method='KD', temperature=count()),
            'and temperature is a count: leave',
        ),
        (lambda: api.distill(narrow(), method='OKDDip'), 'the length of one is not known'),
        (lambda: api.distill(narrow(), narrow(), count(), method='KD', ramp_up_epochs=3), 'the length of one'),
        (lambda: next(iter(classifier())), 'a loader was expected, and there is none'),
        (lambda: next(iter(api.distill(narrow(), None, [7], method='Classifier'))), 'and it is a int: take it apart'),
        (lambda: next(iter(api.distill(narrow(), None, [{'x': 1}], method='Classifier'))), 'it is a dict of x'),
        (same, 'both are one network'),
        (frozen_student, r'this one is frozen, as one that has been a teacher: call requires_grad_\(True\)'),
        (one_frozen, r'DML trains all its networks, and number 2 is frozen.*: call requires_grad_\(True\)'),
        (twice, 'one is given twice'),
        (lambda: of_several('KD'), 'KD needs a teacher with one network, and DML has 2: .* give one of its networks'),
        (lambda: of_several('DKD'), 'DKD needs a teacher with one network'),
        (lambda: teacher_with(branches='LightBranches'), r"branches is a dict with a type, and it is 'LightBranches'"),
        (
            lambda: teacher_with(branches=dict(type='LightBranch')),
            "built .there is no 'LightBranch' .*mean LightBranches.*: correct",
        ),
        (
            lambda: teacher_with(pretext=dict(type='Nope')),
            r"cannot be built \(there is no 'Nope'.*\): correct the sett",
        ),
        (lambda: teacher_with(pretext=dict(wish=3)), 'HSAKDTeacher cannot be built .*wish'),
        (lambda: api.distill(narrow(), narrow(), method='KD', temperature='4'), "above 0, and temperature is '4'"),
        (lambda: api.distill(narrow(), narrow(), method='KD', temperature=0), 'above 0, and temperature is 0'),
        (lambda: api.distill([narrow(), narrow()], method='DML', temperature=-1.0), 'and temperature is -1.0'),
        (lambda: api.distill(narrow(), narrow(), loader(), method='CRD', kd_temperature=0), 'kd_temperature is 0'),
        (
            lambda: api.distill(narrow(), narrow(), loader(), method='CRD', temperature=0, num_negatives=4),
            'CRD is a number above 0, and temperature is 0',
        ),
        (lambda: contrast(None), 'CRD remembers all training images, and they are not known'),
        (lambda: contrast(DataLoader(Unlabelled())), 'an attribute targets'),
        (
            lambda: contrast(loader())(IMAGES, LABELS),
            r'CRD needs the index .*: have the loader give \(images, labels, in',
        ),
        (lambda: api.distill([], narrow(), loader()), 'a network was expected to be trained by HSAKD, and the list is'),
        (lambda: api.distill([], method='DML'), 'several networks were expected .* empty: build each by build_network'),
        (lambda: api.distill(narrow(), method='LinearProbe'), "it is 'LinearProbe': choose one of"),
        (lambda: api.distill(narrow(), method='Needy'), "Needy cannot be built .*'wish'.*: correct the settings"),
    ],
)
def test_what_does_not_fit_together(build, said, monkeypatch) -> None:
    monkeypatch.setitem(MODELS.module_dict, 'Needy', Needy)
    with pytest.raises(UserError, match=said):
        build()


@pytest.mark.parametrize(
    'build, said',
    [
        (lambda: api.build_network('resnet', 10), "timm .* has no model named 'resnet': did you mean resnet"),
        (lambda: api.build_network(timm.create_model('resnet18'), 10), "a network's name was expected"),
        (lambda: api.build_network('resnet18', 0), 'num_classes is a number of classes, at least 1, and it is 0'),
        (lambda: api.build_network('resnet18', 10, colour=3), 'TimmBackbone passes its arguments on'),
        (lambda: api.build_network('CifarResNet', 10), 'CifarResNet cannot be built .*depth'),
        (
            lambda: api.build_network('resnet18.nope', 3),
            "weights 'nope' of 'resnet18': did you mean resnet18.*leave the",
        ),
        (lambda: narrow(global_pool='bad'), 'AssertionError Invalid pool type: bad; correct or remove that argument'),
        (lambda: narrow(block='x'), "AttributeError 'str' object .* correct or remove that argument"),
        (lambda: narrow(act_layer='nope'), "KeyError 'nope'; correct or remove that argument"),
        (lambda: narrow(in_chans=1), "and in_chans of 'resnet18' is 1: leave it out, and repeat the channel of grey"),
        (lambda: narrow(in_chans=4), "images of 3 channels, .* in_chans of 'resnet18' is 4"),
        (lambda: narrow(pretrained=True), "and there is pretrained=True: set weights='timm://resnet18' in its place"),
        (lambda: narrow(mean=[0.5] * 3, std=[0.2] * 3), 'in units of 0..255.*multiply both by 255'),
        (lambda: narrow(mean=[127.5] * 3), 'one is missing'),
        (lambda: narrow(mean=[127.5], std=[127.5]), 'three numbers each'),
        (lambda: narrow(mean=5, std=3), 'three numbers each.* and mean is 5: write it as in mean='),
        (lambda: narrow(mean='123', std='123'), "three numbers each.* and mean is '123'"),
        (lambda: narrow(act_layer=torch.nn.SiLU), "act_layer is the class SiLU: .* act_layer='silu'"),
        (lambda: narrow(block_args=dict(a=[1, count])), r'block_args.a\[1\] is the class count'),
        (lambda: narrow(weights='nowhere.pth'), 'there is none: name a file of weights, or the folder of a training'),
        (lambda: narrow(weights=5), 'and it is 5: name a file of weights'),
        (lambda: api.load('/nowhere'), 'at /nowhere, and there is none: name a file of weights, or the folder'),
        (lambda: narrow(weights='timm://resnet18.mine'), "no weights named 'resnet18.mine'"),
    ],
)
def test_a_wrong_network(build, said) -> None:
    with pytest.raises(UserError, match=said):
        build()


def test_a_method_of_one_class_an_image() -> None:
    with pytest.raises(UserError, match=r'torch.float32 \[8, 10\]: give the number of the class of each image\.'):
        api.distill(narrow(), narrow(), method='DKD')(IMAGES, torch.eye(10)[LABELS])


def test_a_network_on_two_devices() -> None:
    student = narrow()
    distillation = api.distill(student, branched_teacher())
    student.to('meta')
    with pytest.raises(UserError, match=r'are on cpu and meta: call \.to\(device\) of the distillation'):
        distillation(IMAGES, LABELS)
