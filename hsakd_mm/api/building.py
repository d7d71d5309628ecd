"""Builds a method around networks that exist already, through the registry."""

import inspect
from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import Any

import torch
from mmengine.registry import DefaultScope

from hsakd_mm.engine.frozen_teacher import freeze_teacher
from hsakd_mm.engine.user_messages import nearest
from hsakd_mm.errors import UserError
from hsakd_mm.evaluation.linear_probe import LinearProbe
from hsakd_mm.models.distillers.base import BaseDistiller
from hsakd_mm.models.distillers.student import StudentMixin
from hsakd_mm.registry import MODELS

from .distillation import Distillation, length_of
from .images import ImageModule
from .networks import GIVEN, Network, given
from .plain_values import plain_settings
from .same_classes import check_class_names

OURS = {'backbone', 'nets', 'data_preprocessor', 'load_backbone_from', 'args', 'kwargs', 'self'}


def distill(
    student: Network | Sequence[Network],
    teacher: Network | Distillation | None = None,
    loader: Iterable | None = None,
    *,
    method: str = 'HSAKD',
    amp: torch.dtype | None = None,
    **settings: Any,
) -> Distillation:
    """Have a student learn from a teacher by a method: a module to be trained in a plain loop.

    The student is trained in place; an optimizer takes ``parameters()`` of what is returned. What the method before did
    not train of it, such as the classifier, is trained again; what you froze yourself is not. The teacher is frozen and
    put in eval mode, in place.

    Args:
        student (Network | Sequence[Network]): Of a method for several networks that teach each other (DML, CSS,
            HSSAKDOnline) a list. CSS gives its networks another classifier, of joint classes.
        teacher (Network | Distillation): For a method with a teacher. HSAKD needs one with branches, which
            ``method='HSAKDTeacher'`` trains: that distillation itself, or such a checkpoint by :func:`load`. It may
            have another normalisation.
        loader (Iterable): Gives batches ``(images, labels)``, see :meth:`Distillation.forward`. Needed to iterate over
            the distillation, and by methods that count epochs (OKDDip, RSKD) or know all labels (CRD, whose batches
            are ``(images, labels, indices)`` and whose data set has ``targets``, as torchvision's).
        method (str): One of :func:`methods`.
        amp (torch.dtype): Forward passes run in ``torch.autocast`` with it, such as ``torch.bfloat16``.
        **settings: Of the method's class, such as ``temperature=4.0``, as plain values, which a file can hold; and
            ``ramp_up_epochs`` of every method with a teacher: what is learnt from it grows over these epochs from 0
            to its weight.

    Raises:
        UserError: Another method or setting than there is, a setting that no file can hold, no teacher where one is
            needed or the reverse, or networks or class names that do not fit together.
    """
    kind = find_method(method)
    networks: list[Network] = list(student) if isinstance(student, Sequence) else [student]
    known = _settings_of(kind)
    several = 'nets' in known
    _check_networks(networks, kind, several)
    master = _teacher_model(teacher, networks, kind)
    ramp_up_epochs = settings.pop('ramp_up_epochs', 0.0) if issubclass(kind, StudentMixin) else 0.0
    settings = plain_settings(_completed(settings, kind, master, loader))
    trainable = [_trainable(network) for network in networks]
    frozen = [number for number, network in enumerate(networks, 1) if network.frozen]
    normalisation = networks[0].model_config['data_preprocessor']

    def described(use) -> dict:
        nets = [dict(backbone=use(network)) for network in networks]
        return dict(settings, type=kind.__name__, **(dict(nets=nets) if several else nets[0]))

    config = dict(
        described(lambda network: dict(type=given, module=network.backbone, config=_config(network))),
        data_preprocessor=networks[0].model.data_preprocessor,
    )
    with DefaultScope.overwrite_default_scope('hsakd_mm'):
        try:
            model = MODELS.build(config)
        except (TypeError, ValueError, KeyError) as error:
            raise UserError(f'{method} cannot be built ({_reason(error)}): correct the settings.') from error
    for network, backbone, names in zip(networks, model.backbones, trainable):
        left_out = {name for name, parameter in backbone.named_parameters() if not parameter.requires_grad}
        network.left_out = left_out & names
    if frozen and not getattr(model, 'frozen_backbone', 'checkpoint' in known):  # those train a part beside it
        raise UserError(
            f'{method} trains {"all its networks" if several else "a network"}, and '
            f'{f"number {frozen[0]}" if several else "this one"} is frozen, as one that has been a teacher: call '
            f'requires_grad_(True) of it, or build another.'
        )
    model.check_temperatures()
    weight = next(networks[0].backbone.parameters())
    model.to(device=weight.device, dtype=weight.dtype)
    if (model.counts_epochs or ramp_up_epochs) and length_of(loader) is None:
        raise UserError(
            f'{method} counts epochs, and the length of one is not known: give distill() a loader with a length, or '
            f'set ramp_up_epochs=0.'
        )
    if teacher is not None and master is not None:
        if model.learns_classes:
            check_class_names(teacher, networks[0], loader if model.needs_labels else None)
        freeze_teacher(master, model)
        for network in getattr(teacher, 'networks', [teacher]):
            network.left_out = set()  # a teacher stays frozen
        master.to(dtype=weight.dtype)
        model.attach_teacher(master)
    if hasattr(model, 'attach_labels'):
        _attach_labels(model, getattr(loader, 'dataset', None))
    for network, backbone in zip(networks, model.backbones):
        if network.backbone is not backbone:  # a method's own copy, in which a later export finds what was trained
            network.model.backbone = backbone
            network.model_config = {
                **network.model_config,
                'backbone': dict(_config(network), num_classes=backbone.num_classes),
            }
        network.method = kind.__name__
    described_model = dict(described(_config), data_preprocessor=normalisation)
    return Distillation(model, described_model, networks, loader, amp, ramp_up_epochs)


def methods() -> list[str]:
    """The names of all methods, those of your own that are registered included.

    The probe of a trained backbone, which is none, is ``hsakd-mm linear-probe``.
    """
    MODELS.import_from_location()
    return sorted(
        name
        for name, kind in MODELS.module_dict.items()
        if isinstance(kind, type) and issubclass(kind, BaseDistiller) and not inspect.isabstract(kind)
        if kind is not LinearProbe
    )


def find_method(name: str) -> type[BaseDistiller]:
    """The class of a method.

    Raises:
        UserError: There is none of this name.
    """
    known = methods()
    if name not in known:
        raise UserError(f'a method was expected, and it is {name!r}: choose one of {", ".join(known)}.')
    return MODELS.module_dict[name]


def _config(network: Network) -> dict:
    return network.model_config['backbone']


def _trainable(network: Network) -> set[str]:
    """Names of the parameters that a method may train, after those that the last one left out are released.

    A teacher has none: it stays one, and all of it is what the next method may leave out.
    """
    named = dict(network.backbone.named_parameters())
    for name in network.left_out & named.keys():
        named[name].requires_grad_(True)
    if network.frozen:
        return set(named)
    return {name for name, parameter in named.items() if parameter.requires_grad}


def _reason(error: Exception) -> str:
    text = str(error.args[0]) if error.args else type(error).__name__
    name, unregistered, _ = text.partition(' is not in the ')
    return f'there is no {name!r}{nearest(name, MODELS.module_dict)}' if unregistered else text


def _settings_of(kind: type) -> set[str]:
    """Names of the arguments of a class, through its bases."""
    return {
        name
        for base in kind.__mro__
        if '__init__' in vars(base)
        for name in inspect.signature(vars(base)['__init__']).parameters
    }


def _check_networks(networks: list, kind: type[BaseDistiller], several: bool) -> None:
    if not networks:
        raise UserError(
            f'{"several networks were" if several else "a network was"} expected to be trained by {kind.__name__}, and '
            f'the list is empty: build {"each" if several else "it"} by build_network(name, num_classes).'
        )
    for network in networks:
        if not isinstance(network, Network):
            raise UserError(
                f'networks of build_network() were expected to be trained, and one is a {type(network).__name__}: '
                f"build_network(name, num_classes) builds timm's, and its backbone.load_state_dict(...) takes their "
                f'weights.'
            )
    if several != (len(networks) > 1):
        there = f'{len(networks)} networks' if len(networks) > 1 else 'one'
        raise UserError(
            f'{kind.__name__} trains {"several networks, which teach each other" if several else "one network"}, and '
            f'there is {there}: give {"a list of them" if several else "one"}.'
        )
    if len({id(network.backbone) for network in networks}) < len(networks):
        raise UserError('different networks were expected, and one is given twice: build each by itself.')
    if any((network.mean, network.std) != (networks[0].mean, networks[0].std) for network in networks):
        raise UserError(
            'networks that teach each other see the same images, and theirs are normalised differently: build them '
            'with the same mean and std.'
        )


def _teacher_model(teacher, networks: list[Network], kind: type[BaseDistiller]) -> BaseDistiller | None:
    if not issubclass(kind, StudentMixin):
        if teacher is not None:
            raise UserError(f'{kind.__name__} has no teacher, and one is given: set teacher=None, or another method.')
        return None
    if not isinstance(teacher, ImageModule):
        found = 'there is none' if teacher is None else f'it is a {type(teacher).__name__}'
        raise UserError(
            f'{kind.__name__} learns from a teacher, and {found}: give a network of build_network() or load(), or the '
            f'distillation that trained it.'
        )
    own = {id(parameter) for network in networks for parameter in network.parameters()}
    if any(id(parameter) in own for parameter in teacher.parameters()):
        raise UserError('a student and a teacher of its own were expected, and both are one network: build two.')
    return teacher.model


def _completed(settings: dict, kind: type[BaseDistiller], teacher: BaseDistiller | None, loader) -> dict:
    """The settings, with what follows from the teacher and the data where it is not given."""
    known = _settings_of(kind) - OURS
    for name in settings.keys() - known:
        raise UserError(f'{kind.__name__} has no setting {name!r}: it has {", ".join(sorted(known))}.')
    for name in ('branches', 'pretext') if 'pretext' in known else ():  # elsewhere branches are counted
        if not isinstance(value := settings.get(name), Mapping | None):
            raise UserError(f"{name} is a dict with a type, and it is {value!r}: write it as dict(type='...').")
    found: dict = {}
    if 'checkpoint' in known:
        found['checkpoint'] = GIVEN
    if teacher is not None:
        assert issubclass(kind, StudentMixin)
        found.update(kind.settings_for(teacher))
    if 'num_samples' in known:
        found['num_samples'] = len(_dataset(loader, kind.__name__))
    return {**found, **settings}


def _dataset(loader, method: str) -> Sized:
    dataset = getattr(loader, 'dataset', None)
    if not isinstance(dataset, Sized):
        raise UserError(
            f'{method} remembers all training images, and they are not known: give distill() a DataLoader whose data '
            f'set has a length.'
        )
    return dataset


def _attach_labels(model, dataset) -> None:
    if hasattr(dataset, 'get_data_info'):  # mmengine's
        return model.attach_dataset(dataset)
    labels = getattr(dataset, 'targets', None)
    if labels is None and hasattr(dataset, 'tensors'):  # torch's TensorDataset
        labels = dataset.tensors[1]
    if labels is None:
        raise UserError(
            f'{type(model).__name__} needs the classes of all training images beforehand, and a '
            f'{type(dataset).__name__} does not tell them: give your data set an attribute targets, a list of them.'
        )
    model.attach_labels([int(label) for label in labels])
