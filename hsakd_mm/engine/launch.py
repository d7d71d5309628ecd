"""Start and end of a command-line tool: launchers, processes, exit statuses.

Run as a module, it is torchrun with the same arguments and with readable errors::

    python -m hsakd_mm.engine.launch --nproc-per-node 8 tools/train.py CONFIG --launcher pytorch

Exit statuses: 2 for a user's mistake, 130 for Ctrl-C, otherwise that of the worker which failed.
"""

import errno
import logging
import os
import re
import signal
import socket
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
from hsakd_mm.processes import ranks


@contextmanager
def user_errors(interrupted: str = 'interrupted.'):
    """Exit with one sentence for a user's mistake; a bug keeps its traceback.

    If the environment variable ``HSAKD_MM_TRACEBACK`` is set, nothing is caught.

    Args:
        interrupted (str): Message after Ctrl-C, which says how to continue.
    """
    try:
        yield
    except KeyboardInterrupt:
        if ranks()[0] == 0:
            print(f'\n{interrupted}', file=sys.stderr, flush=True)
        raise SystemExit(130) from None
    except Exception as error:
        if os.environ.get('HSAKD_MM_TRACEBACK'):
            raise
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

    With GPUs, mmengine does everything. Without them its set-up would call CUDA, so the gloo group is
    created here, and DDP gets no device.

    Raises:
        UserError: The launcher needs GPUs, or the process was not started by a launcher.
    """
    cfg.launcher = launcher
    if launcher == 'slurm' and 'SLURM_JOB_ID' in os.environ:
        # mmengine's fixed port would make two jobs on one node collide.
        job, step = (int(os.environ.get(name, 0)) for name in ('SLURM_JOB_ID', 'SLURM_STEP_ID'))
        os.environ.setdefault('MASTER_PORT', str(15000 + (job + 101 * step) % 15000))
    if launcher == 'pytorch' and not {'RANK', 'WORLD_SIZE', 'MASTER_ADDR'} <= set(os.environ):
        raise UserError(
            '--launcher pytorch expects to be started by torchrun, and was not: use '
            'bash tools/dist_train.sh CONFIG GPUS, or leave --launcher out.'
        )
    if launcher == 'none' or torch.cuda.is_available():
        return
    if launcher != 'pytorch':
        raise UserError(
            f'--launcher {launcher} needs GPUs, and torch finds none here: use '
            f'bash tools/dist_train.sh CONFIG PROCESSES.'
        )
    options = dict(cfg.get('env_cfg', {}).get('dist_cfg', {}))
    group: dict = dict(backend='gloo')
    if 'timeout' in options:
        group['timeout'] = timedelta(seconds=options['timeout'])
    if not dist.is_initialized():
        dist.init_process_group(**group)
    cfg.merge_from_dict({'env_cfg.dist_cfg.backend': 'gloo'})
    cfg.model_wrapper_cfg = {
        'type': 'MMDistributedDataParallel',
        'broadcast_buffers': False,
        'find_unused_parameters': cfg.get('find_unused_parameters', False),
        **(cfg.get('model_wrapper_cfg') or {}),
        'device_ids': None,
    }


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


def main(argv: list | None = None) -> None:
    """torchrun, with readable errors."""
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    with user_errors():
        args = torchrun.parse_args(argv)
        processes = _check_processes(args.nproc_per_node)
        master = args.rdzv_backend == 'static' and not args.standalone and not args.rdzv_endpoint
        local = args.master_addr in ('127.0.0.1', 'localhost', '::1')
        if master and local and args.nnodes.split(':')[-1] != '1':
            raise UserError(
                f'{args.nnodes} nodes need an address at which they can meet, and '
                f'{args.master_addr} is each node itself: set MASTER_ADDR to the '
                f'address of node 0, on every node.'
            )
        if master and args.node_rank == 0:
            _check_port(args.master_port)
        _share_cores(processes)
        # It would print its own report of each worker's end, below the worker's sentence.
        logging.getLogger('torch.distributed.elastic.multiprocessing.api').setLevel('CRITICAL')
        try:
            torchrun.run(args)
        except ChildFailedError as error:
            raise SystemExit(_worker_status(error)) from None
        except SignalException as error:
            raise SystemExit(128 + error.sigval) from None
        except dist.DistNetworkError as error:
            raise UserError(
                f'the processes could not meet at {args.master_addr}:{args.master_port} '
                f'({str(error).splitlines()[0]}): set MASTER_ADDR to the address of node 0, and '
                f'the same PORT on every node.'
            ) from error


def _check_processes(count: str) -> int:
    """Processes on this node, from torchrun's ``--nproc-per-node``."""
    devices = torch.cuda.device_count()
    if count in ('auto', 'gpu', 'cpu'):
        return max(1, devices if count != 'cpu' else os.cpu_count() or 1)
    if not count.isdecimal() or int(count) == 0:
        raise UserError(
            f'the number of GPUs (on a machine without: of processes) should be a positive number, and is {count!r}.'
        )
    if devices and int(count) > devices:
        raise UserError(
            f'{count} GPUs were asked for, and this machine has {devices}: ask for '
            f'{devices} or fewer; --auto-scale-lr adapts the learning rate.'
        )
    return int(count)


def _share_cores(processes: int) -> None:
    """Divide the cores among the processes; with GPUs one thread each, as torchrun does."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    threads = 1 if torch.cuda.is_available() else max(1, cores // processes)
    os.environ.setdefault('OMP_NUM_THREADS', str(threads))
    os.environ.setdefault('MKL_NUM_THREADS', os.environ['OMP_NUM_THREADS'])


def _check_port(port: int) -> None:
    try:
        socket.create_server(('', port)).close()
    except (OSError, OverflowError) as error:
        if getattr(error, 'errno', None) == errno.EADDRINUSE:
            reason = 'is already in use on this machine, perhaps by another training run'
        else:
            reason = f'cannot be opened ({error})'
        raise UserError(
            f'port {port} {reason}: set another one on every node, as in PORT={29500 if port != 29500 else 29501}.'
        ) from error


def _worker_status(error) -> int:
    rank, failure = error.get_first_failure()
    if failure.exitcode < 0:  # ended by a signal, so it could not print an error
        name = signal.Signals(-failure.exitcode).name
        hint = ', as when memory runs out' if name == 'SIGKILL' else ''
        print(f'error: rank {rank} was ended by {name}{hint}; the others were stopped.', file=sys.stderr)
        return 128 - failure.exitcode
    return failure.exitcode


if __name__ == '__main__':
    main()
