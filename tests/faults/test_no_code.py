"""No tool of ours and nothing of mmengine executes what stands in a checkpoint or a label file."""

import pickle
import runpy
import sys
from io import BytesIO
from pathlib import Path

import mmengine
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.infer.infer import BaseInferencer
from mmengine.runner import CheckpointLoader, Runner

from hsakd_mm.datasets import CIFAR10
from hsakd_mm.errors import UserError
from hsakd_mm.literals import only_values
from hsakd_mm.models.distillers.plain import Classifier
from hsakd_mm.plain_pickle import load_plain
from tests.conftest import REPO
from tests.datasets.originals import photographs, write_stl10
from tests.tools.commands import TINY
from tests.tools.test_linear_probe import BACKBONE, CONFIG
from tests.trained_backbones import write_checkpoint

ROW = 'code in a checkpoint'
TOOLS = {
    'train --resume': ('train.py', TINY, '--resume', '{tiny}'),
    'train load_from': ('train.py', TINY, '--cfg-options', 'load_from={tiny}'),
    'test': ('test.py', TINY, '{tiny}'),
    'train with a teacher': (
        'train.py',
        REPO / 'configs/demo/hsakd.py',
        '--cfg-options',
        'default_hooks.distillation.checkpoint={student}',
        'train_dataloader.dataset.data_root={digits}',
        'val_dataloader.dataset.data_root={digits}',
        'train_dataloader.num_workers=0',
        'val_dataloader.num_workers=0',
        'train_dataloader.dataset.indices=8',
        'train_dataloader.batch_size=8',
        'train_cfg.max_epochs=1',
    ),
    'probe': ('linear_probe.py', 'probe.py', '{plain}'),
    'k-NN': ('linear_probe.py', 'probe.py', '{plain}', '--knn'),
    'export': ('export_backbone.py', '{student}'),
    'export of a part': ('export_backbone.py', '{student}', '--key', 'state_dict', '--prefix', 'backbone'),
    'converter': ('model_converters/hsakd.py', '{student}', TINY, 'out.pth'),
    'converter --reverse': ('model_converters/hsakd.py', '--reverse', '{student}', TINY, 'out.pth'),
    'transfer': ('transfer_det.py', '{student}', REPO / 'configs/demo/faster_rcnn.py'),
}


class Code:
    """Unpickled, it writes a file."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self):
        return Path.touch, (self.witness,)


@pytest.fixture
def witness(tmp_path) -> Path:
    return tmp_path / 'executed'


def spoil(path: Path, kind: str, witness: Path) -> None:
    """Puts code into the configs of a checkpoint, or an object whose unpickling runs some."""
    content = torch.load(path, weights_only=True)
    if kind == 'pickle':
        content['extra'] = Code(witness)
    else:
        text = f'{content["meta"].get("cfg", "")}\nimport pathlib\ngpu_ids = [pathlib.Path({str(witness)!r}).touch()]\n'
        content['meta'].update(cfg=text, config=text)
    torch.save(content, path)


@pytest.fixture
def checkpoints(tmp_path, monkeypatch) -> dict:
    """Those of a run of the tiny model and of a narrow student."""
    monkeypatch.chdir(tmp_path)
    cfg = Config.fromfile(TINY)
    cfg.work_dir, cfg.train_cfg.max_epochs, cfg.val_cfg = str(tmp_path / 'tiny'), 1, None
    cfg.val_dataloader = cfg.val_evaluator = None
    Runner.from_cfg(cfg).train()
    write_checkpoint(tmp_path / 'student' / 'epoch_3.pth')
    write_stl10(tmp_path / 'data', photographs(10, 96).repeat(3, 0), [n // 3 for n in range(30)])
    (tmp_path / 'probe.py').write_text(CONFIG.replace('max_epochs=3', 'max_epochs=1'))
    torch.save(dict(state_dict=Classifier(BACKBONE).state_dict(), meta=dict(cfg='a = 1')), tmp_path / 'plain.pth')
    return dict(
        tiny=tmp_path / 'tiny' / 'epoch_1.pth',
        student=tmp_path / 'student' / 'epoch_3.pth',
        plain=tmp_path / 'plain.pth',
    )


@pytest.mark.parametrize('kind', ['config', 'pickle'])
def test_tools(kind, checkpoints, witness, demo_data, monkeypatch, seen, capsys) -> None:
    for path in checkpoints.values():
        spoil(path, kind, witness)
    for name, (tool, *words) in TOOLS.items():
        words = [str(word).format(**checkpoints, digits=demo_data / 'digits') for word in words]
        monkeypatch.setattr(sys, 'argv', [tool, *words])
        status = 0
        try:
            runpy.run_path(str(REPO / 'tools' / tool), run_name='__main__')
        except SystemExit as end:
            status = end.code or 0
        said = capsys.readouterr().err
        assert status in (0, 2), (name, said)  # a sentence, no traceback
        assert not witness.exists(), name
        if kind == 'pickle':
            assert status == 2 and 'can run any code' in said, (name, said)
        seen(ROW, f'{kind} that runs code: {name}', 'not executed' + (', one sentence' if status else ', goes on'))


@pytest.mark.parametrize('kind', ['config', 'pickle'])
@pytest.mark.parametrize('environment', ['', '1'])
def test_mmengine(kind, environment, checkpoints, witness, monkeypatch, seen) -> None:
    """``Runner.resume`` and ``load_from`` of any config, pretrained weights of a detector, an inferencer."""
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', environment)
    path = checkpoints['tiny']
    spoil(path, kind, witness)
    for resume in (True, False):
        cfg = Config.fromfile(TINY)
        cfg.work_dir, cfg.load_from, cfg.resume = str(path.parent / 'other'), str(path), resume
        cfg.experiment_name = f'{kind}{environment}{resume}'
        runner = Runner.from_cfg(cfg)
        if kind == 'config':
            runner.train()
        else:
            with pytest.raises(pickle.UnpicklingError):
                runner.train()
    if kind == 'pickle':
        with pytest.raises(pickle.UnpicklingError):
            CheckpointLoader.load_checkpoint(str(path))
    else:
        kind_of = type('Any', (BaseInferencer,), {})
        kind_of.__abstractmethods__ = frozenset()
        inferencer = object.__new__(kind_of)
        model = inferencer._init_model(Config(dict()), str(path), 'cpu')  # from the config in the checkpoint
        assert type(model).__name__ == 'TinyModel'
    assert not witness.exists()
    seen(ROW, f'{kind} that runs code: resume and load_from of mmengine', 'not executed')


def test_config_texts() -> None:
    text = (
        "a = dict(b=1)\nimport os\nc = os.getcwd()\n_base_ = 'x.py'\ncustom_imports = dict(imports=['this'])\nd = [-2]"
    )
    assert only_values(text) == 'a = dict(b=1)\nd = [-2]\n'
    assert only_values('a = (') == '\n' or only_values('a = (') == ''


def test_label_files(tmp_path, witness, seen) -> None:
    plain = dict(data_list=[dict(img_path='a.jpg', gt_label=1, boxes=np.ones(2), score=np.float32(2), of={1})])
    with open(tmp_path / 'plain.pkl', 'wb') as file:
        pickle.dump(plain, file)
    assert str(mmengine.load(str(tmp_path / 'plain.pkl'))) == str(plain)
    tensor = BytesIO(pickle.dumps(dict(scores=torch.ones(2))))
    assert load_plain(tensor)['scores'].tolist() == [1, 1]
    with open(tmp_path / 'code.pkl', 'wb') as file:
        pickle.dump(dict(data_list=[Code(witness)]), file)
    with pytest.raises(pickle.UnpicklingError, match='can run any code'):
        mmengine.load(str(tmp_path / 'code.pkl'))

    folder = tmp_path / CIFAR10.source.base_folder
    folder.mkdir()
    for name, _ in CIFAR10.files(object.__new__(CIFAR10)):
        with open(folder / name, 'wb') as file:
            pickle.dump(Code(witness), file)
    with pytest.raises(UserError, match='unpickling it can run any code'):
        CIFAR10(str(tmp_path), verify=False)
    assert not witness.exists()
    seen(ROW, 'pickle that runs code: label files (.pkl, CIFAR without checksums)', 'not executed, one sentence')
