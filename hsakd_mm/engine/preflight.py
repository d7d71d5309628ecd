"""Checks before a run starts: config, work directory, checkpoint, disk."""

import glob
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec

from mmengine.config import Config
from mmengine.dist import all_gather_object
from mmengine.hooks import CheckpointHook, EMAHook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmengine.utils import import_modules_from_strings

from hsakd_mm.checkpoints.loading import load_checkpoint, load_fitting, load_strict
from hsakd_mm.checkpoints.work_dir import last_checkpoint, move_run_aside, require_unused
from hsakd_mm.engine.config_values import READ, check_names, check_values
from hsakd_mm.engine.initial_weights import how_to_start_from
from hsakd_mm.engine.named_config import of_the_package
from hsakd_mm.engine.user_messages import EXTRAS, how_to_install, nearest, user_message
from hsakd_mm.errors import UserError
from hsakd_mm.models.unwrapped import unwrapped
from hsakd_mm.processes import ranks


def load_config(path: str, options: dict | None = None, needs: tuple = ()) -> Config:
    """Read a config and apply ``--cfg-options``.

    Args:
        path (str): The file.
        options (dict): ``{'optim_wrapper.optimizer.lr': 0.1}``.
        needs (Sequence[str]): Top-level names that the tool requires.

    Raises:
        UserError: The file does not exist or is not a config, a package is not installed, an option
            sets an unknown name, or a required name is missing.
    """
    if not os.path.isfile(path):
        folder = os.path.dirname(path) or '.'
        there = os.listdir(folder) if os.path.isdir(folder) else []
        near = nearest(os.path.basename(path), there) or of_the_package(os.path.basename(path))
        raise UserError(f'a config was expected at {path}, and there is no such file{near}: check the path.')
    try:
        cfg = Config.fromfile(path)
    except Exception as error:  # a config is code: it can fail in any way
        if isinstance(error, FileNotFoundError) and f'.mim{os.sep}' in str(error):
            raise UserError(
                f"{path} inherits from a package's configs, and those of the package "
                f'as it is here were not installed ({error.filename}): run pip install '
                f'-e . in its checkout.'
            ) from error
        raise UserError(
            user_message(error) or f'the config {path} cannot be read: {type(error).__name__}: {error}'
        ) from error
    check_names(cfg, path)
    scope = cfg.get('default_scope')
    if scope in EXTRAS and find_spec(scope) is None:
        raise UserError(how_to_install(scope))
    _apply(cfg, options or {}, path)
    if cfg.get('auto_scale_lr', {}) is None:  # not to have it is the same
        cfg.pop('auto_scale_lr')
    _drop_worker_options(cfg)
    missing = [name for name in needs if cfg.get(name) is None]
    if missing:
        raise UserError(
            f'{path} sets no {", ".join(missing)}: name a complete config, not a part '
            f'of one such as those under _base_.'
        )
    check_values(cfg)
    return cfg


def _apply(cfg: Config, options: dict, path: str) -> None:
    known = set(cfg) | READ
    for name in options:
        root = name.split('.')[0]
        # Runner takes data_preprocessor only for a model that has none.
        if (root in cfg and root not in READ) or (root == 'data_preprocessor' and root in (cfg.get('model') or {})):
            raise UserError(
                f'--cfg-options sets {name}, and {root} is a variable of the config file: it was '
                f'used when the file was read, and changing it now has no effect; set the place '
                f'where it is used, such as model.data_preprocessor or train_dataloader.dataset.'
            )
        if root not in known:
            raise UserError(
                f'--cfg-options sets {name}, and neither {path} nor the runner has '
                f'{root}{nearest(root, known)}: correct the name.'
            )
    _allow_options_of_initializers(cfg, options)
    try:
        cfg.merge_from_dict(options)
    except Exception as error:  # KeyError, TypeError, IndexError, AssertionError: all the user's
        raise UserError(f'--cfg-options cannot be applied to {path}: {error}') from error
    if any(name.split('.')[0] == 'custom_imports' for name in options):
        import_modules_from_strings(**cfg.custom_imports)


def _allow_options_of_initializers(cfg: Config, options: dict) -> None:
    """Options of ``init_cfg`` where the config has None: tools/transfer_det.py sets its type later."""
    for name in options:
        owner = cfg
        for part in name.rpartition('.init_cfg.')[0].split('.'):
            owner = owner.get(part) if isinstance(owner, Mapping | Config) else None
        if isinstance(owner, dict) and owner.get('init_cfg') is None:
            owner['init_cfg'] = {}


def _drop_worker_options(cfg: Config) -> None:
    """Remove options that torch's DataLoader does not accept with ``num_workers=0``."""
    for part in ('train', 'val', 'test'):
        loader = cfg.get(f'{part}_dataloader') or {}
        if loader.get('num_workers', 0) == 0:
            loader.pop('prefetch_factor', None)
            if loader.get('persistent_workers'):
                loader['persistent_workers'] = False


def prepare_work_dir(cfg: Config, chosen: str | None, config: str) -> None:
    """Set ``cfg.work_dir``: ``--work-dir``, else the config's, else ``work_dirs/<config stem>``.

    Raises:
        UserError: The folder cannot be created or written to.
    """
    stem = os.path.splitext(os.path.basename(config))[0]
    cfg.work_dir = chosen or cfg.get('work_dir') or os.path.join('work_dirs', stem)
    try:
        os.makedirs(cfg.work_dir, exist_ok=True)
        with tempfile.TemporaryFile(dir=cfg.work_dir) as file:
            file.write(b'0' * 4096)
    except OSError as error:
        raise UserError(
            f'the work directory {cfg.work_dir} cannot be written to '
            f'({error.strerror or error}): choose another with '
            f'--work-dir.'
        ) from error


def find_checkpoint_to_resume(cfg: Config, resume: str | None, overwrite: bool = False) -> dict | None:
    """Read the checkpoint that ``--resume`` names, and set ``cfg`` to resume from it.

    Args:
        cfg (Config): Its ``resume`` and ``load_from`` are set.
        resume (str): ``'auto'`` (the last checkpoint of ``cfg.work_dir``, if there is one), a
            path, or None.
        overwrite (bool): A run that starts from the beginning moves an earlier one's files aside.

    Returns:
        dict: The checkpoint, or None if training starts from the beginning.

    Raises:
        UserError: The file does not exist, is not a checkpoint, or has no optimizer state; or
            training starts from the beginning where a run left its checkpoints.
    """
    if resume is None and cfg.get('resume'):
        resume = cfg.get('load_from') or 'auto'
    if resume is not None and overwrite:
        raise UserError(
            '--resume goes on with a run and --overwrite starts another in its place: leave one of them out.'
        )
    if resume is None:
        if not overwrite:
            require_unused(cfg.work_dir)
        elif ranks()[1] == 0:  # of each node, whose disk may be its own
            move_run_aside(cfg.work_dir)
        return None
    path = last_checkpoint(cfg.work_dir) if resume == 'auto' else resume
    cfg.resume = path is not None
    if path is not None:
        cfg.load_from = path
    else:  # what the config starts from stays
        print(f'No checkpoint in {cfg.work_dir} to resume from: starting from the beginning.')
        return None
    content = load_checkpoint(path)
    if 'message_hub' not in content or 'epoch' not in content.get('meta', {}):
        raise UserError(
            f'--resume needs a checkpoint of a training run, and {path} holds weights '
            f'only: {how_to_start_from(cfg, content, path)}.'
        )
    needed = {'optimizer'} | ({'param_schedulers'} if cfg.get('param_scheduler') else set())
    if not needed <= set(content):
        raise UserError(
            f'--resume needs the state of optimizer and schedule, and {path} was saved '
            f'without (best_*.pth always is, any file where CheckpointHook has '
            f'save_optimizer=False): name an epoch_N.pth that holds them.'
        )
    return content


def check_same_checkpoint(content: dict | None) -> None:
    """Check that all ranks resume from the same checkpoint; each node reads its own work directory.

    Call it after the process group is initialised.

    Args:
        content (dict): What :func:`find_checkpoint_to_resume` returned on this rank.
    """
    mine = None if content is None else (content['meta']['epoch'], content['meta'].get('iter'))
    starts = all_gather_object(mine)
    if any(start != starts[0] for start in starts):
        found = ', '.join(
            f'rank {rank} from ' + ('the beginning' if start is None else f'epoch {start[0]}, iteration {start[1]}')
            for rank, start in enumerate(starts)
        )
        raise UserError(
            f'all ranks must resume from the same checkpoint, and would not ({found}): put '
            f'the work directory on a disk that all nodes share, or copy the '
            f'checkpoint to every node and name it with --resume FILE.'
        )


def load_weights(runner: Runner, content: dict, path: str, resumed: bool = False) -> None:
    """Load a checkpoint strictly into the runner's model.

    mmengine loads what fits and only logs the rest. If ``resumed``, :meth:`Runner.resume` loads the
    weights again, with the optimizer: only the names that it expects are accepted.
    """
    model = unwrapped(runner.model)
    if resumed:
        load_strict(model, content['state_dict'], source=path, what='model of this config')
    else:
        load_fitting(model, content, path, 'model of this config')


def warn_if_lr_is_not_scaled(cfg: Config, world_size: int) -> None:
    """Warn if the learning rate was chosen for another batch size and is not scaled."""
    scale = cfg.get('auto_scale_lr') or {}
    base, batch = scale.get('base_batch_size'), cfg.train_dataloader.get('batch_size')
    if base and batch and not scale.get('enable') and base != world_size * batch:
        print_log(
            f'lr is for {base} images a step and this run has {world_size * batch}: add --auto-scale-lr to scale it.',
            'current',
            logging.WARNING,
        )


def check_disk(runner: Runner) -> None:
    """Check that the checkpoints of this run fit on the disk.

    Raises:
        UserError: They do not; names the space needed and the free space.
    """
    hook = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
    folder = hook.out_dir if hook and hook.out_dir else runner.work_dir
    if hook is None or '://' in folder:
        return
    one = _checkpoint_bytes(runner, hook)
    # Besides those kept: the best one, and the one being written.
    needed = one * (_kept(runner, hook) + 2)
    ours = [
        path
        for pattern in ('epoch_*.pth', 'iter_*.pth', 'best_*.pth')
        for path in glob.glob(os.path.join(folder, pattern))
    ]
    needed = max(needed - sum(map(os.path.getsize, ours)), 2 * one)  # these are replaced
    while not os.path.isdir(folder):
        folder = os.path.dirname(os.path.abspath(folder))
    free = shutil.disk_usage(folder).free
    if free < needed:
        # Not fewer than 2: mmengine removes the oldest before the newest is written.
        fewer = (
            ''
            if _kept(runner, hook) <= 2
            else ', or keep fewer with --cfg-options default_hooks.checkpoint.max_keep_ckpts=2'
        )
        raise UserError(
            f'the checkpoints of this run need {_size(needed)} in {runner.work_dir} '
            f'({_size(one)} each), and {_size(free)} are free there: free some space, or choose '
            f'another disk with --work-dir{fewer}.'
        )


def _checkpoint_bytes(runner: Runner, hook: CheckpointHook) -> int:
    model = unwrapped(runner.model)
    weights = sum(value.nbytes for value in model.state_dict().values())
    trained = sum(value.nbytes for value in model.parameters() if value.requires_grad)
    copies = 2 if any(isinstance(hook, EMAHook) for hook in runner.hooks) else 1
    return copies * weights + (_states(runner) * trained if hook.save_optimizer else 0)


def _states(runner: Runner) -> int:
    """Number of tensors that the optimizer stores for each parameter."""
    optimizer = runner.cfg.get('optim_wrapper', {}).get('optimizer', {})
    if optimizer.get('type') == 'SGD':
        return 1 if optimizer.get('momentum') else 0
    return 2  # the Adams; the others have fewer


def _kept(runner: Runner, hook: CheckpointHook) -> int:
    steps = runner.max_epochs if hook.by_epoch else runner.max_iters
    written = max(1, (steps or 1) // max(1, hook.interval))
    return min(written, hook.max_keep_ckpts) if hook.max_keep_ckpts > 0 else written


def _size(count: int) -> str:
    return f'{count / 1e9:.1f} GB' if count >= 1e9 else f'{count / 1e6:.1f} MB'
