"""Two ranks on gloo, each with a runner of the same config."""

import multiprocessing
import os

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from torch import nn

from hsakd_mm import processes
from hsakd_mm.engine.forked import starts_image_workers
from hsakd_mm.engine.launch import prepare_launcher
from tests.faults.exact import start
from tests.faults.jobs import free_port


class Comparable(Hook):
    """BatchNorm with fixed statistics, which no share of a batch changes; images and teacher in a number format."""

    priority = 'LOWEST'

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def before_train(self, runner) -> None:
        model = getattr(runner.model, 'module', runner.model)
        model.data_preprocessor.register_forward_hook(
            lambda module, args, out: {**out, 'inputs': out['inputs'].to(self.dtype)}
        )
        if hasattr(model, 'teacher'):
            model.teacher.to(self.dtype)

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        for module in runner.model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()


def train(rank: int, cfg: Config, folder: str, hooks: list, changes: dict, port: int, ranks: int) -> None:
    """Train one rank; ends with the status that the run ends with."""
    torch.set_num_threads(1)
    starts_image_workers(False)  # whatever this process was forked from
    processes._cpu_group.clear()
    if ranks > 1:
        os.environ.update(
            RANK=str(rank), WORLD_SIZE=str(ranks), LOCAL_RANK=str(rank), MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port)
        )
        prepare_launcher(cfg, 'pytorch')
    for hook in hooks:
        if isinstance(hook, Comparable):
            torch.set_default_dtype(hook.dtype)
    runner = start(cfg, folder, **changes)
    for hook in hooks:
        # Only rank 1 gets the signal.
        if rank == ranks - 1 or isinstance(hook, Comparable):
            runner.register_hook(hook)
    try:
        runner.train()
    except SystemExit as ended:
        os._exit(ended.code)


def run(cfg: Config, folder, *hooks, ranks: int = 2, **changes) -> list[int]:
    """Exit statuses of the ranks."""
    port = free_port()
    context = multiprocessing.get_context(
        'spawn' if torch.cuda.is_initialized() else 'fork'
    )  # imports take longer than the training
    args = (cfg, str(folder), hooks, changes, port, ranks)
    started = [context.Process(target=train, args=(rank, *args)) for rank in range(ranks)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    return [process.exitcode for process in started]
