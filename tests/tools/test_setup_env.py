"""tools/setup_env.sh: which Python, which stack of packages, what is in place and what is made anew."""

import re
import shutil
from pathlib import Path

import pytest

from tests.tools.commands import ROOT, assert_sentence, make_command, run

FILES = dict(
    default='constraints.txt', onedl='constraints-onedl.txt', newest='constraints-newest.txt'
)  # of requirements/
FORKS = {'mmengine': 'onedl-mmengine', 'mmdet': 'onedl-mmdetection', 'mmcv-lite': 'onedl-mmcv'}
# Makes environments whose Python is itself, and writes down what pip is asked to install.
PYTHON = """
case "$*" in
    '-m venv --clear '*) rm -rf "$4"; mkdir -p "$4/bin"; cp "$0" "$4/bin/python" ;;
    '-m pip install '*) shift 3; printf '%s\\n' "$@" >> "$LOG" ;;
    '--version') echo Python 3.11 ;;
esac
"""


@pytest.fixture
def clone(tmp_path):
    """What set-up reads of the repository, and a PATH that holds no Python."""
    for name in ('requirements', 'tools'):
        shutil.copytree(ROOT / name, tmp_path / 'clone' / name)
    shutil.copy(ROOT / 'setup.py', tmp_path / 'clone')
    commands = tmp_path / 'commands'
    commands.mkdir()
    for name in ('bash', 'basename', 'cat', 'cmp', 'cp', 'dirname', 'env', 'grep', 'mkdir', 'rm', 'sed'):
        (commands / name).symlink_to(shutil.which(name))
    return tmp_path / 'clone'


def set_up(clone, *words, **env):
    env = {'PATH': str(clone.parent / 'commands'), 'PYTHON': '', 'LOG': clone.parent / 'log', **env}
    return run('bash', 'tools/setup_env.sh', *words, cwd=clone, **env)


@pytest.fixture
def installed(clone):
    """Calls set-up with a Python that installs nothing; what it said, and what pip was asked for."""
    make_command(clone.parent / 'commands', 'python3', PYTHON)

    def install(*words) -> tuple:
        log = clone.parent / 'log'
        log.write_text('')
        done = set_up(clone, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout, log.read_text().splitlines()

    return install


def test_without_a_python(clone) -> None:
    assert_sentence(set_up(clone), 'Python 3.10 to 3.14 is needed')


def test_with_a_python_that_is_too_old(clone) -> None:
    make_command(clone.parent / 'commands', 'python3', 'exit 1')
    assert_sentence(set_up(clone), 'Python 3.10 to 3.14 is needed')


def test_with_a_python_without_venv(clone) -> None:
    make_command(
        clone.parent / 'commands', 'python3', 'case "$2" in *ensurepip*) exit 1;; *print*) echo python3.11;; esac'
    )
    assert_sentence(set_up(clone), 'python3.11-venv')
    assert not (clone / '.venv').exists()


@pytest.mark.parametrize(
    'words', [('--stack', 'nightly'), ('--stack',), ('--stack=',), ('test',), ('--stack', 'tests')]
)
def test_words_it_does_not_know(words, clone) -> None:
    assert_sentence(set_up(clone, *words), 'default', 'onedl', 'newest')
    assert not (clone / '.venv').exists()


def test_what_is_in_place_stays(installed, clone) -> None:
    said, asked = installed()
    assert 'stack default' in said and 'mmdet>=3.3' in asked and 'pytest>=7.4' not in asked
    said, asked = installed()
    assert '.venv is ready' in said and not asked
    said, asked = installed('tests')  # what is new is installed
    assert 'pytest>=7.4' in asked and 'anew' not in said
    (clone / 'requirements/runtime.txt').write_text('torch\nsomething\n')
    assert 'something' in installed()[1]
    (clone / '.venv/.installing').write_text('default\n')  # as if interrupted
    assert 'making .venv' in installed()[0]


@pytest.mark.parametrize('stack', FILES)
def test_a_stack_stays_until_another_is_named(stack, installed) -> None:
    said, asked = installed('tests', '--stack', stack)
    assert f'stack {stack}' in said
    assert asked[asked.index('-c') + 1] == f'requirements/{FILES[stack]}'
    names = {re.split(r'[\[<>=;]', line)[0] for line in asked}
    for usual, fork in FORKS.items():
        assert (usual in names, fork in names) == ((False, True) if stack == 'onedl' else (True, False))
    assert names >= {'torch', 'timm', 'scikit-learn', 'pytest'} and not [
        name for name in names if name.startswith('-r')
    ]
    for words in ([], ['tests'], ['--stack', stack], [f'--stack={stack}', 'tests']):
        assert '.venv is ready' in installed(*words)[0]
    other = 'default' if stack == 'onedl' else 'onedl'
    said, asked = installed('--stack', other)
    assert f'.venv has the stack {stack}, and {other} is wanted: making it anew' in said
    assert f'requirements/{FILES[other]}' in asked
    assert '.venv is ready' in installed()[0]


def test_an_interrupted_stack_goes_on(installed, clone) -> None:
    installed('--stack', 'onedl')
    (clone / '.venv/.installing').write_text('onedl\n')
    shutil.rmtree(clone / '.venv/.installed')
    said, asked = installed()
    assert 'stack onedl' in said and 'onedl-mmengine' in asked


def test_forks_that_were_installed_by_hand_are_not_overwritten(installed, clone) -> None:
    make_command(clone / '.venv/bin', 'python', PYTHON)
    (clone / '.venv/lib/python3.11/site-packages/onedl_mmengine-0.10.12.dist-info').mkdir(parents=True)
    said, asked = installed()
    assert 'making' not in said and 'onedl-mmengine' in asked and 'mmengine>=0.10.4' not in asked


def test_a_link_to_another_checkouts_environment_is_not_emptied(clone, tmp_path) -> None:
    (tmp_path / 'other/.installed').mkdir(parents=True)
    (tmp_path / 'other/.installed/root').write_text('/the/other\n')
    (clone / '.venv').symlink_to(tmp_path / 'other')
    assert_sentence(set_up(clone, '--stack', 'onedl'), '/the/other')
    assert (tmp_path / 'other/.installed/root').exists()


def lines_of(path: Path, option: str) -> list:
    """The lines of a file for pip, and of the files that it names with ``option``."""
    lines = []
    for line in path.read_text().splitlines():
        if line.startswith(f'{option} '):
            lines += lines_of(path.parent / line.split()[1], option)
        elif line and not line.startswith('#'):
            lines.append(line)
    return lines


@pytest.mark.parametrize('stack', FILES)
def test_each_stack_says_a_version_of_every_package(stack) -> None:
    pins = [line.partition(';')[0].strip() for line in lines_of(ROOT / 'requirements' / FILES[stack], '-c')]
    known = {re.split('[<=]', pin)[0] for pin in pins}
    for name in ('runtime', 'tests'):  # with those of det and demo
        for line in lines_of(ROOT / 'requirements' / f'{name}.txt', '-r'):
            package = re.split(r'[\[<>=;]', line)[0].strip()
            assert (FORKS.get(package, package) if stack == 'onedl' else package) in known, package
    assert (
        not {'mmengine', 'mmdet', 'mmcv', 'mmcv-lite'} & known if stack == 'onedl' else not set(FORKS.values()) & known
    )
    # What has no marker says one version.
    plain = [line for line in lines_of(ROOT / 'requirements' / FILES[stack], '-c') if ';' not in line]
    assert all('==' in line for line in plain) and len({line.split('==')[0] for line in plain}) == len(plain)
