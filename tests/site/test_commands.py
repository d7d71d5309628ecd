"""Every command on the pages is one that there is, with arguments that it takes and configs that exist."""

import importlib
import subprocess

import pytest

from hsakd_mm.commands.main import COMMANDS
from hsakd_mm.engine.named_config import config_path
from tests.conftest import REPO
from tests.site.pages import commands, files, pages

MODULES = {module: name for name, (module, _) in COMMANDS.items()}
PLACEHOLDERS = {'CONFIG': 'hsakd_mm::hsakd/own_r34_r18.py', 'CONFIG.py': 'hsakd_mm::transfer/_small.py'}
WITHOUT_HELP = ('prepare_demo_data.py',)


def ours(page) -> list[list[str]]:
    """The page's commands that parse their arguments in this package: ``[command, *arguments]``."""
    found = []
    for words in commands(page):
        script = words[1].rpartition('/')[2].removesuffix('.py') if words[0] == 'python' and len(words) > 1 else ''
        if words[0] == 'hsakd-mm':
            found.append(words[1:])
        elif script in MODULES:
            found.append([MODULES[script], *words[2:]])
        elif words[0] == 'bash' and words[1].endswith(('dist_train.sh', 'dist_test.sh')):
            name, operands = ('train', 1) if 'train' in words[1] else ('test', 2)
            found.append([name, *words[2 : 2 + operands], '--gpus', words[2 + operands], *words[3 + operands :]])
        elif words[0] == 'bash' and words[1].endswith('transfer_det.sh'):
            found.append(['transfer', *words[2:]])
        elif words[0] == 'bash' and words[1].endswith('pretrain_and_transfer.sh'):
            found.append(['pretrain-and-transfer', *words[2:]])
    return found


@pytest.mark.parametrize('page', pages(), ids=lambda page: page.stem)
def test_commands_parse(page, monkeypatch) -> None:
    monkeypatch.chdir(REPO)
    own = {name for _, name, _ in files()} | {'my_detector.py', 'mine.py'}
    for command, *arguments in ours(page):
        assert command in COMMANDS, f'{page.name}: hsakd-mm {command}'
        arguments = [PLACEHOLDERS.get(word, word) for word in arguments]
        monkeypatch.setattr('sys.argv', [f'hsakd-mm {command}', *arguments])
        try:
            args = importlib.import_module(f'hsakd_mm.commands.{COMMANDS[command][0]}').parse_args()
            assert '::' not in str(getattr(args, 'config', '')) or command == 'transfer', command
        except SystemExit as end:
            pytest.fail(f'{page.name}: hsakd-mm {command} {" ".join(arguments)} ended with {end.code}')
        for word in arguments:
            if word.endswith('.py') and word.rpartition('/')[2] not in own:
                assert (REPO / config_path(word)).is_file(), f'{page.name}: {word}'


@pytest.mark.parametrize('page', pages(), ids=lambda page: page.stem)
def test_scripts_and_files_exist(page) -> None:
    listed = subprocess.run(['git', 'ls-files'], cwd=REPO, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip('not a git checkout: which files belong to it is not known')
    tracked = set(listed.stdout.splitlines())
    for words in commands(page):
        for word in words[:2]:
            if word.startswith(('tools/', 'benchmarks/', 'configs/')):
                assert word in tracked, f'{page.name}: {word}'
