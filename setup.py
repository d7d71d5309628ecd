"""Build of the package; `pip install .`, or `pip install -e .` to work on it."""

import os
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
SHIPPED = ('configs', 'tools', 'model-index.yml')  # what mim and `_base_ = 'hsakd_mm::...'` read


class BuildWithMim(build_py):
    """Puts what lies beside the package into ``hsakd_mm/.mim``.

    The usual way, looking for ``develop`` or ``bdist_wheel`` in ``sys.argv``, misses the editable
    installs of PEP 660: these only run this command, with ``editable_mode`` set.
    """

    def run(self) -> None:
        super().run()
        editable = self.editable_mode
        mim = (ROOT if editable else Path(self.build_lib)) / 'hsakd_mm' / '.mim'
        shutil.rmtree(mim, ignore_errors=True)
        mim.mkdir(parents=True)
        for name in SHIPPED:
            if editable and hasattr(os, 'symlink'):
                (mim / name).symlink_to(Path('..', '..', name))
            elif (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, mim / name, ignore=shutil.ignore_patterns('__pycache__'))
            else:
                shutil.copy(ROOT / name, mim / name)

    def get_outputs(self, include_bytecode: bool = True) -> list:
        mim = Path(self.build_lib, 'hsakd_mm', '.mim')
        return super().get_outputs(include_bytecode) + [str(path) for path in mim.rglob('*') if path.is_file()]


def requirements(name: str) -> list:
    """The lines of ``requirements/<name>.txt``, and of the files it names with ``-r``."""
    lines = []
    for line in (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines():
        if line.startswith('-r '):
            lines += requirements(line[3:].removesuffix('.txt'))
        elif line and not line.startswith('#'):
            lines.append(line)
    return lines


def version() -> str:
    scope = {}
    exec((ROOT / 'hsakd_mm' / 'version.py').read_text(), scope)
    return scope['__version__']


EXTRAS = {name: requirements(name) for name in ('det', 'demo', 'tests', 'docs', 'onnx')}

setup(
    name='hsakd_mm',
    version=version(),
    description='Pretrain backbones by hierarchical self-supervised knowledge distillation, and '
    'hand them to MMDetection',
    long_description=(ROOT / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    author='The hsakd_mm authors',
    license='Apache-2.0',
    python_requires='>=3.10',
    classifiers=[f'Programming Language :: Python :: 3.{minor}' for minor in range(10, 15)],
    packages=find_packages(include=['hsakd_mm', 'hsakd_mm.*']),
    package_data={'hsakd_mm': ['py.typed'], 'hsakd_mm.reports': ['*.jinja']},
    include_package_data=False,
    install_requires=requirements('runtime'),
    extras_require={**EXTRAS, 'all': sorted({line for lines in EXTRAS.values() for line in lines})},
    entry_points={'console_scripts': ['hsakd-mm = hsakd_mm.commands.main:main']},
    cmdclass={'build_py': BuildWithMim},
)
