"""Start and end of a command-line tool: launchers, processes, exit statuses.

Exit statuses: 2 for a user's mistake, 130 for Ctrl-C, 75 for a run that was asked to stop, has saved and wants
to be started again, 1 if another process of the run ended or did not answer.
"""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import timedelta

import torch
from mmengine.config import Config
from torch import distributed as dist

from hsakd_mm.engine.user_messages import user_message
from hsakd_mm.errors import UserError
from hsakd_mm.processes import any_rank, end_with_parent, limit_collectives, ranks, restarts

# Of a collective, in seconds, unless the config sets env_cfg.dist_cfg.timeout; torch's own are 10 to 30 minutes.
TIMEOUT = 600


@contextmanager
def user_errors(interrupted: str = 'interrupted.'):
    """Exit with one sentence for a user's mistake; a bug keeps its traceback.

    If the environment variable ``HSAKD_MM_TRACEBACK`` is set, nothing is caught. A process that our launcher
    started ends with it; see :func:`~hsakd_mm.processes.end_with_parent`.

    Args:
        interrupted (str): Message after Ctrl-C, which says how to continue.
    """
    end_with_parent()
    try:
        yield
    except KeyboardInterrupt:
        if ranks()[0] == 0:
            print(f'\n{interrupted}', file=sys.stderr, flush=True)
        raise SystemExit(130) from None
    except Exception as error:
        if os.environ.get('HSAKD_MM_TRACEBACK'):
            raise
        if waited := _no_answer(error):
            _say(
                f'another process of this run did not answer within {waited} and may hang: look at what its machine '
                f'does, then start again with --resume; env_cfg.dist_cfg.timeout (seconds) says how long to wait.',
                -1,
            )
            raise SystemExit(1) from None
        if _lost_a_peer(error):
            _say('another process of this run ended, and this one cannot go on without it.', -1)
            raise SystemExit(1) from None
        sentence = user_message(error)
        if sentence is None:
            raise
        _say(sentence)
        raise SystemExit(2) from None
    finally:
        # gloo's threads release the tensors of the last collective a moment after it has ended, and
        # need the interpreter for it. If it is shutting down by then, they abort the process.
        if dist.is_available() and dist.is_initialized():
            time.sleep(0.2)
            if sys.exc_info()[0] is None:
                dist.destroy_process_group()


def _say(sentence: str, first: int = 0) -> None:
    """Print the sentence once for all ranks.

    Usually all ranks fail with the same error. Rank ``first`` prints it at once; the launcher then ends
    the others while they wait. A rank that fails alone prints its error after the wait.
    """
    rank, local_rank = ranks()
    if rank != first:
        time.sleep(3 + 0.5 * local_rank)
    sys.stdout.flush()
    print(f'error: {sentence}{f" (rank {rank})" if rank else ""}', file=sys.stderr, flush=True)


def _lost_a_peer(error: Exception) -> bool:
    """Whether a collective failed because another rank ended, which reports the cause itself."""
    return (
        isinstance(error, RuntimeError)
        and dist.is_initialized()
        and bool(re.search(r'Connection (closed|reset) by peer|remote process exit', str(error)))
    )


def _no_answer(error: Exception) -> str | None:
    """How long a collective waited for another rank in vain, as text; None if that is not what happened."""
    found = isinstance(error, RuntimeError) and re.search(
        r'Timed out waiting (\d+)ms|(?:wait|client socket has|Socket) timeout.*?(\d+)ms|timed out after (\d+)ms',
        str(error),
    )
    if not found or not dist.is_available():
        return None
    return f'{int(next(filter(None, found.groups()))) / 1000:g} s'


def wait_after_interrupt(process) -> int:
    """Wait until a child ends after Ctrl-C; returns its exit status.

    A terminal interrupts both processes. If only this one was interrupted, the child gets a SIGINT.
    """
    try:
        return process.wait(timeout=3)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        return process.wait()


def prepare_launcher(cfg: Config, launcher: str) -> None:
    """Prepare the config for ``--launcher`` on this machine, before the Runner is built.

    The process group is created here and not by mmengine, which calls CUDA without GPUs and, after a restart by
    torchrun, would find the addresses of the dead processes in the store. A collective that waits longer than
    ``env_cfg.dist_cfg.timeout`` seconds (default 600) for another process ends the run. Without GPUs it is a
    gloo group, and DDP gets no device. Metrics collect their results in the work directory.

    Raises:
        UserError: The launcher needs GPUs, or the process was not started by a launcher.
    """
    cfg.launcher = launcher
    if launcher == 'pytorch' and not {'RANK', 'WORLD_SIZE', 'MASTER_ADDR'} <= set(os.environ):
        raise UserError('--launcher pytorch expects to be started by torchrun, and was not: use --gpus N in its place.')
    if launcher == 'none':
        return
    gpus = torch.cuda.is_available()
    if launcher == 'mpi' and not gpus:
        raise UserError(
            f'--launcher {launcher} needs GPUs, and torch finds none here: use --gpus N in its place, which starts N '
            f'processes on a CPU too.'
        )
    options = dict(cfg.get('env_cfg', {}).get('dist_cfg') or {})
    options = {'backend': 'nccl', 'timeout': TIMEOUT, **options}
    if not gpus:
        options['backend'] = 'gloo'
    cfg.merge_from_dict({'env_cfg.dist_cfg': options})
    if launcher == 'slurm':
        _read_slurm()
    if launcher != 'mpi' and not dist.is_initialized():
        if gpus:
            torch.cuda.set_device(int(os.environ['LOCAL_RANK']))
        _join(**options)
    if int(os.environ.get('WORLD_SIZE', 2)) > 1:  # MPI's processes are counted later
        cfg.setdefault('default_hooks', {})['collect'] = dict(type='hsakd_mm.CollectHook')
    # Gradients are read where they were reduced, without a copy. MMDetection's models leave out parameters in some
    # steps; ours use the same in all, unless branches are left out in some; with accumulation some steps reduce none.
    partial = (cfg.get('model') or {}).get('branch_interval', 1) != 1
    same = (
        cfg.get('default_scope') == 'hsakd_mm'
        and (cfg.get('optim_wrapper') or {}).get('accumulative_counts', 1) == 1
        and not partial
    )
    cfg.model_wrapper_cfg = {
        'type': 'MMDistributedDataParallel',
        'broadcast_buffers': False,
        'find_unused_parameters': cfg.get('find_unused_parameters', partial),
        'gradient_as_bucket_view': True,
        'static_graph': same and not cfg.get('find_unused_parameters'),
        **(cfg.get('model_wrapper_cfg') or {}),
        **({} if gpus else {'device_ids': None}),
    }


def _read_slurm() -> None:
    """Set torchrun's variables from those of a Slurm step.

    Raises:
        UserError: This is not a task of one.
    """
    missing = [name for name in ('SLURM_JOB_ID', 'SLURM_PROCID', 'SLURM_NTASKS') if name not in os.environ]
    if missing:
        raise UserError(
            f'--launcher slurm expects to be started by srun, and was not ({missing[0]} is not set): use '
            f'bash tools/slurm_train.sh PARTITION JOB CONFIG WORK_DIR, or leave --launcher out.'
        )
    # One fixed port would make two jobs on a node collide.
    job, step = (int(os.environ.get(name, 0)) for name in ('SLURM_JOB_ID', 'SLURM_STEP_ID'))
    os.environ.setdefault('MASTER_PORT', str(15000 + (job + 101 * step) % 15000))
    if 'MASTER_ADDR' not in os.environ:
        nodes = os.environ.get('SLURM_STEP_NODELIST') or os.environ['SLURM_NODELIST']
        names = subprocess.run(['scontrol', 'show', 'hostnames', nodes], capture_output=True, text=True, check=True)
        os.environ['MASTER_ADDR'] = names.stdout.split()[0]
    for ours, theirs in (('RANK', 'PROCID'), ('LOCAL_RANK', 'LOCALID'), ('WORLD_SIZE', 'NTASKS')):
        os.environ[ours] = os.environ[f'SLURM_{theirs}']
    if devices := torch.cuda.device_count():  # Slurm may show each task one GPU
        os.environ['LOCAL_RANK'] = str(int(os.environ['LOCAL_RANK']) % devices)


def _join(backend: str, timeout: float, **options) -> None:
    """Create the process group from torchrun's variables, after a restart under a name of its own.

    torchrun's launcher keeps one store for all restarts; the addresses in it (gloo's) or the id (NCCL's) would
    be those of the processes that are gone.
    """
    limit = timedelta(seconds=timeout)
    store, rank, world_size = next(dist.rendezvous('env://', timeout=limit))
    store = dist.PrefixStore(f'restart_{restarts()}', store)
    limit_collectives(limit)
    options.pop('init_backend', None)
    dist.init_process_group(backend, store=store, rank=rank, world_size=world_size, timeout=limit, **options)
    any_rank(False)  # makes its group now, so that a wrong network is seen at the start


def check_sync_bn(cfg: Config) -> None:
    """Reject synchronised BatchNorm that cannot be trained; call it after :func:`prepare_launcher`.

    Raises:
        UserError: An unknown implementation, or distributed training without GPUs.
    """
    kind = cfg.get('sync_bn')
    if kind not in (None, 'torch', 'mmcv'):
        raise UserError(f"sync_bn is expected to be 'torch' or 'mmcv', and it is {kind!r}: set one of them, or None.")
    if kind and cfg.launcher != 'none' and not torch.cuda.is_available():
        raise UserError(
            f'sync_bn={kind!r} needs GPUs, and torch finds none here: set sync_bn=None; SyncBuffersHook '
            f"averages the processes' BatchNorm statistics before each validation."
        )
