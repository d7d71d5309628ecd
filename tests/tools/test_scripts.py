"""Shell scripts: usage, quoting, which Python; and what a wheel holds."""

import os
import shutil
import subprocess
import sys
import zipfile

import pytest
import setuptools

from tests.tools.commands import ROOT, bash, make_command, python, run

EACH_METHOD = (
    'baselines/cifar100_r20 baselines/cifar100_kd_r56_r20 crd/cifar100_crd_r56_r20 css/cifar100_css_r56_r56 '
    'dkd/cifar100_dkd_r56_r20 dml/cifar100_dml_r32 hsakd/cifar100_r56_teacher hsakd/cifar100_r56_r20 '
    'hssakd/cifar100_r56_online okddip/cifar100_okddip_r32 rskd/cifar100_rskd_r20 sskd/cifar100_sskd_r56_r20'
)
SCRIPTS = ('dist_train.sh', 'dist_test.sh', 'slurm_train.sh')


@pytest.mark.parametrize('script', SCRIPTS)
def test_usage(script, tmp_path):
    done = bash(script, 'one', cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith('usage: ')


def test_slurm(tmp_path):
    make_command(tmp_path / 'bin', 'srun', 'echo "port $MASTER_PORT"; printf "<%s>\\n" "$@"')
    path = f'{tmp_path / "bin"}:{os.environ["PATH"]}'
    done = bash(
        'slurm_train.sh',
        'part',
        'job',
        'my config.py',
        'my dir',
        '--amp',
        cwd=tmp_path,
        PATH=path,
        GPUS=4,
        PORT=1234,
        SRUN_ARGS='--time 1 --qos=x',
    )
    assert done.returncode == 0, done.stderr
    words = done.stdout.splitlines()
    assert words[0] == 'port 1234'
    for word in (
        '--ntasks=4',
        '--gres=gpu:4',
        '--kill-on-bad-exit=1',
        '--time',
        '--qos=x',
        'my config.py',
        'my dir',
        '--amp',
    ):
        assert f'<{word}>' in words


def test_slurm_leaves_the_port_to_the_job(tmp_path):
    make_command(tmp_path / 'bin', 'srun', 'echo "port ${MASTER_PORT-unset}"')
    done = bash(
        'slurm_train.sh',
        'part',
        'job',
        'config.py',
        'dir',
        cwd=tmp_path,
        PATH=f'{tmp_path / "bin"}:{os.environ["PATH"]}',
    )
    assert done.stdout == 'port unset\n'


def test_which_python(tmp_path):
    tools = tmp_path / 'repository' / 'tools'
    tools.mkdir(parents=True)
    shutil.copy(ROOT / 'tools' / 'python.sh', tools)
    for name in ('mine', 'active/bin', 'repository/.venv/bin', 'path'):
        (tmp_path / name).mkdir(parents=True)
        make_command(tmp_path / name, 'python', f'echo {name} "$PYTHONPATH"')

    def answer(**env):
        env = {'PATH': f'{tmp_path / "path"}:/usr/bin:/bin', **env}
        return subprocess.run(
            ['bash', tools / 'python.sh'], env=env, text=True, check=True, capture_output=True
        ).stdout.split()

    mine, active = str(tmp_path / 'mine' / 'python'), str(tmp_path / 'active')
    assert answer(PYTHON=mine, VIRTUAL_ENV=active) == ['mine', str(tools.parent)]
    assert answer(VIRTUAL_ENV=active)[0] == 'active/bin'
    assert answer()[0] == 'repository/.venv/bin'
    shutil.rmtree(tmp_path / 'repository' / '.venv')
    assert answer(PYTHONPATH='/other') == ['path', f'{tools.parent}:/other']


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """A wheel built from this checkout."""
    tmp_path = tmp_path_factory.mktemp('wheel')
    if int(setuptools.__version__.split('.')[0]) < 71:
        pytest.skip('building a wheel here needs setuptools 71, which tools/setup_env.sh installs')
    source = tmp_path / 'source'
    source.mkdir()
    for name in ('hsakd_mm', 'configs', 'tools', 'requirements'):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns('__pycache__', '.mim'))
    for name in (
        'setup.py',
        'pyproject.toml',
        'MANIFEST.in',
        'model-index.yml',
        'README.md',
        'LICENSE',
        'requirements.txt',
    ):
        shutil.copy(ROOT / name, source)
    done = run(
        sys.executable,
        '-m',
        'pip',
        'wheel',
        '--no-deps',
        '--no-build-isolation',
        '--no-index',
        '-w',
        tmp_path,
        source,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    return next(tmp_path.glob('*.whl'))


def test_wheel_holds_configs_and_tools(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = next(name for name in names if name.endswith('METADATA'))
        text = archive.read(metadata).decode()
    for name in (
        'model-index.yml',
        'tools/train.py',
        'tools/dist_train.sh',
        'configs/hsakd/imagenet_r34_r18.py',
        'configs/hsakd/metafile.yml',
    ):
        assert f'hsakd_mm/.mim/{name}' in names
    assert 'hsakd_mm/reports/page.html.jinja' in names
    assert not [name for name in names if name.startswith('tests')]
    for extra in ('det', 'demo', 'tests', 'docs', 'all'):
        assert f'Provides-Extra: {extra}' in text
    assert "mmdet>=3.3; extra == 'det'" in text.replace('"', "'")


def test_configs_of_an_installed_wheel_can_be_inherited(wheel, tmp_path):
    """One of each method's: tests/configs, run where the package is the wheel's and there is no other."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / 'site')
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    shutil.copytree(ROOT / 'tests', tmp_path / 'tests', ignore=shutil.ignore_patterns('__pycache__'))
    tests = [f'tests/configs/test_every_config.py::test_two_steps[{name}]' for name in EACH_METHOD.split()]
    tests.append('tests/experiments/test_own_images.py::test_what_is_written_is_the_command_of_the_user')
    site = dict(cwd=tmp_path, PYTHONPATH=tmp_path / 'site', timeout=900)
    done = python('-m', 'pytest', '-q', '-p', 'no:cacheprovider', *tests, **site)
    assert done.returncode == 0, done.stdout
    where = python('-c', 'import hsakd_mm; print(hsakd_mm.__file__)', **site).stdout
    assert where.startswith(str(tmp_path / 'site'))


def test_model_index_names_what_exists():
    for line in (ROOT / 'model-index.yml').read_text().splitlines()[1:]:
        assert (ROOT / line.strip().removeprefix('- ')).is_file()
