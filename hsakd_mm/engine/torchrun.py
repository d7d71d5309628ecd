"""torchrun with its own arguments, with readable errors and with time to save.

::

    python -m hsakd_mm.engine.torchrun --nproc-per-node 8 tools/train.py CONFIG --launcher pytorch

SIGTERM or SIGUSR1 asks the workers to write a checkpoint and to end; they have ``HSAKD_MM_GRACE`` seconds
(default 600). Workers end with the launcher, even if that is killed.

Exit statuses: 75 if the workers were stopped so and want to be started again, 2 for a user's mistake, 130 for
Ctrl-C, otherwise that of the worker which failed first.
"""

import errno
import logging
import os
import signal
import socket

import torch
from torch import distributed as dist

from hsakd_mm.engine.launch import user_errors
from hsakd_mm.errors import UserError
from hsakd_mm.processes import PARENT
from hsakd_mm.threads import available_cores, limited_threads


def main(argv: list | None = None) -> None:
    """Run the workers of this node; raises SystemExit."""
    from torch.distributed import run as torchrun

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
        grace = _grace()
        _share_cores(processes)
        # It would print its own report of each worker's end, below the worker's sentence.
        logging.getLogger('torch.distributed.elastic.multiprocessing.api').setLevel('CRITICAL')
        try:
            status = _run(args, grace)
        except dist.DistNetworkError as error:
            raise UserError(
                f'the processes could not meet at {args.master_addr}:{args.master_port} '
                f'({str(error).splitlines()[0]}): set MASTER_ADDR to the address of node 0, and '
                f'the same PORT on every node.'
            ) from error
        raise SystemExit(status)


def _run(args, grace: float) -> int:
    """What ``torch.distributed.launcher.launch_agent`` does, with our agent."""
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.agent.server.api import WorkerSpec
    from torch.distributed.elastic.rendezvous import RendezvousParameters, registry
    from torch.distributed.elastic.rendezvous.utils import parse_rendezvous_endpoint

    from hsakd_mm.engine.agent import Agent, in_thread

    if args.standalone:
        args.rdzv_backend, args.rdzv_endpoint, args.rdzv_id = 'c10d', 'localhost:0', f'{os.getpid()}'
    config, command, arguments = torchrun.config_from_args(args)
    where = RendezvousParameters(
        backend=config.rdzv_backend,
        endpoint=config.rdzv_endpoint,
        run_id=config.run_id,
        min_nodes=config.min_nodes,
        max_nodes=config.max_nodes,
        local_addr=config.local_addr,
        **config.rdzv_configs,
    )
    static = config.rdzv_backend == 'static'
    address, port = parse_rendezvous_endpoint(config.rdzv_endpoint.strip(), -1) if static else (None, None)
    spec = WorkerSpec(
        role=config.role,
        local_world_size=config.nproc_per_node,
        entrypoint=command,
        args=tuple(arguments),
        rdzv_handler=registry.get_rendezvous_handler(where),
        max_restarts=config.max_restarts,
        monitor_interval=config.monitor_interval,
        master_addr=address,
        master_port=port,
        local_addr=config.local_addr,
        **({'numa_options': config.numa_options} if hasattr(config, 'numa_options') else {}),  # torch 2.9
    )
    agent = Agent(
        spec,
        grace,
        logs_specs=config.logs_specs,
        start_method=config.start_method,
        log_line_prefix_template=config.log_line_prefix_template,
    )
    in_thread(agent.on_signal)
    # torch's own handlers, set when it starts the workers, would end them after 30 s. One name has to be given.
    os.environ['TORCHELASTIC_SIGNALS_TO_HANDLE'] = signal.SIGUSR2.name
    os.environ[PARENT] = str(os.getpid())
    if config.max_nodes > 1:
        print(f'Node {args.node_rank} of {config.max_nodes} is waiting for the others.', flush=True)
    try:
        return agent.end(agent.run())
    finally:
        spec.rdzv_handler.shutdown()


def _grace() -> float:
    """Seconds that the workers have to save and to end.

    Raises:
        UserError: ``HSAKD_MM_GRACE`` is not a positive number.
    """
    text = os.environ.get('HSAKD_MM_GRACE', '600')
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds < float('inf'):
        raise UserError(f'HSAKD_MM_GRACE should be a positive number of seconds, and is {text!r}: correct it.')
    return seconds


def _check_processes(count: str) -> int:
    """Processes on this node, from torchrun's ``--nproc-per-node``."""
    devices = torch.cuda.device_count()
    if count in ('auto', 'gpu', 'cpu'):
        return max(1, devices if count != 'cpu' else available_cores())
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
    threads = 1 if torch.cuda.is_available() else max(1, available_cores() // processes)
    if limited_threads():  # hsakd_mm gave this process all cores
        del os.environ['OMP_NUM_THREADS']
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


if __name__ == '__main__':
    main()
