"""Configs of an installed package on a command line, named as ``_base_`` names them."""

import os
from importlib.util import find_spec

from hsakd_mm.engine.user_messages import nearest
from hsakd_mm.errors import UserError


def package_configs() -> str:
    """The folder of this package's configs: beside it in a checkout, inside it where it was installed from a wheel."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    beside, inside = os.path.join(os.path.dirname(package), 'configs'), os.path.join(package, '.mim', 'configs')
    return beside if os.path.isfile(os.path.join(beside, '_base_', 'default_runtime.py')) else inside


def of_the_package(file: str) -> str:
    """A question for a message, if this package has a config of that file name: `` (did you mean ...?)``."""
    folder = package_configs()
    for parent, _, files in os.walk(folder, followlinks=True):
        if file in files:
            return f' (did you mean hsakd_mm::{os.path.relpath(os.path.join(parent, file), folder)}?)'
    return ''


def config_name(path: str) -> str:
    """The reverse of :func:`config_path`, for the configs of this package where they are not in the current folder."""
    inside = os.path.relpath(os.path.realpath(path), os.path.realpath(package_configs()))
    here = os.path.relpath(path)
    return here if not here.startswith('..') else path if inside.startswith('..') else f'hsakd_mm::{inside}'


def config_path(name: str) -> str:
    """The file of ``PACKAGE::FOLDER/FILE.py``, in a package that carries its configs; any other name is a path.

    Raises:
        UserError: The package is not installed, has no configs, or none of that name.
    """
    package, separator, file = name.partition('::')
    if not separator:
        return name
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            f'{name} names a config of the package {package}, which is not installed: install it, or name a file.'
        )
    folder = os.path.join(spec.submodule_search_locations[0], '.mim', 'configs')
    if not os.path.isdir(folder):
        raise UserError(
            f'the configs of {package} were expected in {folder}, and there are none: install the package with pip, '
            f'which puts them there (from a checkout: pip install -e .).'
        )
    path = os.path.realpath(os.path.join(folder, file))
    if not os.path.isfile(path):
        there = [
            os.path.relpath(os.path.join(parent, each), folder)
            for parent, _, files in os.walk(folder, followlinks=True)
            for each in files
            if each.endswith('.py') and not each.startswith('_')
        ]
        raise UserError(f'{package} has no config {file}{nearest(file, there)}: check the name.')
    return path.removeprefix(os.path.realpath(os.getcwd()) + os.sep)
