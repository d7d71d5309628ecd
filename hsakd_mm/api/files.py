"""What was trained, in files: a checkpoint, or the backbone alone; and networks out of them."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from hsakd_mm.checkpoints.backbone_file import is_head, read_backbone
from hsakd_mm.checkpoints.class_names import class_names
from hsakd_mm.checkpoints.export import Export, export_content
from hsakd_mm.checkpoints.finite import check_finite
from hsakd_mm.checkpoints.loading import load_checkpoint
from hsakd_mm.checkpoints.training_config import has_config, training_config
from hsakd_mm.checkpoints.work_dir import find_checkpoint
from hsakd_mm.engine.frozen_teacher import load_trained
from hsakd_mm.errors import UserError
from hsakd_mm.files import write_atomically
from hsakd_mm.models.distillers.base import BaseDistiller
from hsakd_mm.registry import MODELS, type_name

from .distillation import Distillation
from .images import ImageModule
from .networks import CURE, GIVEN, Network, build_network, network_of

SOURCE = 'hsakd_mm.api'  # named in an export's metadata, in place of a checkpoint
# Of a backbone's config, what would have timm read other files than the one that is loaded.
SOURCES = ('pretrained', 'checkpoint_path', 'pretrained_cfg', 'pretrained_cfg_overlay', 'cache_dir')


def export(network: Network, path: str, *, with_head: bool = False, classes: Sequence[str] | None = None) -> Export:
    """Write the backbone alone as ``.pth`` and ``.safetensors``, for timm, torchvision and detectors.

    The files are those of ``hsakd-mm export``: plain state dicts under the network's own key names, with the
    normalisation as metadata. ``timm.create_model(name, num_classes=0)`` loads them, and so does
    :func:`load` with a classifier.

    Args:
        network (Network): Trained or not. Of a distillation one of its ``networks``.
        path (str): Name of either file.
        with_head (bool): Keep the classifier.
        classes (Sequence[str]): Names of the classes, in order.

    Returns:
        Export: Names, hashes and metadata of the two files.

    Raises:
        UserError: It is no such network, a weight is NaN or infinite, or a file cannot be written.
    """
    if not isinstance(network, Network):
        cure = 'give one of its networks.' if isinstance(network, Distillation) else 'build it by build_network().'
        raise UserError(f'a network of build_network() was expected, and it is a {type(network).__name__}: {cure}')
    config = {**network.model_config, 'type': network.method}
    weights = {f'backbone.{name}': value for name, value in network.backbone.state_dict().items()}
    return export_content(_content(config, weights, classes, network), SOURCE, str(path), with_head)


def save(trained: Network | Distillation, path: str, *, classes: Sequence[str] | None = None) -> None:
    """Write a checkpoint with all that was trained, a teacher's branches too.

    :func:`load` reads it, and so does every command: as the teacher of a config
    (``default_hooks.distillation.checkpoint``), and ``hsakd-mm export``. The optimizer is not in it.

    Args:
        trained (Network | Distillation): As the student and the method that it was trained by.
        path (str): The file.
        classes (Sequence[str]): Names of the classes, in order.

    Raises:
        UserError: A weight is NaN or infinite, or the file cannot be written.
    """
    content = _content(trained.model_config, trained.model.state_dict(), classes, trained)
    check_finite(content, str(path))
    write_atomically(str(path), lambda file: torch.save(content, file))


def load(path: str, num_classes: int | None = None) -> Network:
    """A network out of a file that describes it.

    Args:
        path (str): An exported backbone (:func:`export`, ``hsakd-mm export``), a checkpoint of :func:`save` or
            ``hsakd-mm train``, or a work directory. A teacher comes with its branches.
        num_classes (int): For an exported backbone: a new, random classifier of N classes. Needed where the file has
            none.

    Returns:
        Network: In training mode, on the CPU; its normalisation is that of the file.

    Raises:
        UserError: No such file, or it does not say which network it holds; several networks; weights that do not fit.
    """
    path = find_checkpoint(str(path), CURE)
    content = load_checkpoint(path)
    if not has_config(content):
        return _exported(path, num_classes)
    if num_classes is not None:
        raise UserError(
            f'{path} is a checkpoint with its own classifier, and num_classes={num_classes} asks for a new one: '
            f'leave it out, or use build_network(name, {num_classes}, weights={path!r}, new_head=True).'
        )
    network = network_of(_checked(training_config(content, path).get('model'), path))
    load_trained(network.model, path, 'network')
    network.classes = class_names(content)
    return network


def _content(config: dict, weights: Mapping, classes: Sequence[str] | None, trained: ImageModule) -> dict:
    """A checkpoint as mmengine writes them."""
    names = trained.classes if classes is None else classes
    dataset = dict(classes=tuple(map(str, names))) if names is not None and len(names) else {}
    meta = dict(cfg=f"model = {config!r}\ndefault_scope = 'hsakd_mm'\n", dataset_meta=dataset)
    return dict(meta=meta, state_dict=weights)


def _exported(path: str, num_classes: int | None) -> Network:
    file = read_backbone(path)
    described = dict(file.metadata.get('model_kwargs') or {})
    name = file.metadata.get('backbone_type')
    name = file.metadata.get('model_name') if name == 'TimmBackbone' else name
    trained = described.pop('num_classes', None)
    if not name or trained is None:
        raise UserError(
            f'a checkpoint or an exported backbone was expected at {path}, and the file does not say which network it '
            f'holds: use build_network(name, num_classes, weights={path!r}).'
        )
    if num_classes is None and not any(map(is_head, file.state_dict)):
        raise UserError(
            f'{path} was exported without its classifier: set num_classes, for a new one, or export it with '
            f'with_head=True.'
        )
    arguments = {key: value for key, value in described.items() if key not in SOURCES}
    return build_network(name, num_classes or trained, weights=path, new_head=num_classes is not None, **arguments)


def _checked(config, path: str) -> dict:
    """The model's config in a file, which may build what this package has and read nothing else.

    Raises:
        UserError: It is another project's, or that of several networks.
    """
    MODELS.import_from_location()
    kind = _kind(config)
    if kind is None or not issubclass(kind, BaseDistiller):
        raise UserError(
            f"a checkpoint of a model of hsakd_mm was expected at {path}, and it is another project's: use "
            f'build_network(name, num_classes, weights={path!r}), which loads its backbone.'
        )
    if 'backbone' not in config:
        raise UserError(
            f'one network was expected in {path}, and it holds several that taught each other: export them by '
            f'hsakd-mm export {path}, and load one of the files.'
        )
    config = {name: value for name, value in config.items() if name != 'load_backbone_from'}
    if isinstance(normalisation := config.get('data_preprocessor'), Mapping):  # how images are mixed is that run's
        config['data_preprocessor'] = {name: value for name, value in normalisation.items() if name != 'batch_mix'}
    for part in _parts(config):
        if _kind(part) is None:
            raise UserError(f'{path} is made with {part["type"]!r}, which is not registered here: import it first.')
    if config.get('checkpoint') is not None:
        config['checkpoint'] = GIVEN
    config['backbone'] = {name: value for name, value in config['backbone'].items() if name not in SOURCES}
    return config


def _kind(config) -> type[nn.Module] | None:
    name = config.get('type') if isinstance(config, Mapping) else None
    kind = MODELS.module_dict.get(type_name(name)) if name in (type_name(name), f'hsakd_mm.{type_name(name)}') else None
    return kind if isinstance(kind, type) else None


def _parts(value) -> list[Mapping]:
    """All dicts with a ``type`` within a value."""
    if isinstance(value, Mapping):
        own = [value] if 'type' in value else []
        return own + [part for item in value.values() for part in _parts(item)]
    return [part for item in value for part in _parts(item)] if isinstance(value, list | tuple) else []
