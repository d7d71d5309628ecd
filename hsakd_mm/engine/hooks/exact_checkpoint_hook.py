"""Checkpoints from which a run goes on exactly, none of which is removed before its successor is written."""

import os
from typing import Any

from mmengine.dist import barrier, is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import find_latest_checkpoint
from mmengine.runner.base_loop import BaseLoop

from hsakd_mm.engine import rank_states
from hsakd_mm.engine.failed_step import FOLDER
from hsakd_mm.engine.loops import VALIDATED
from hsakd_mm.files import leftovers
from hsakd_mm.registry import HOOKS

INTERIM = 'interim_checkpoint'  # in the message hub: of a run that was stopped


@HOOKS.register_module()
class ExactCheckpointHook(CheckpointHook):
    """``CheckpointHook`` for :mod:`hsakd_mm.engine.loops`, with mmengine's arguments.

    * A checkpoint holds the position in the epoch, and what differs from rank to rank
      (:mod:`hsakd_mm.engine.rank_states`).
    * Outdated files are removed after the new one is in place: a run killed at any moment keeps a checkpoint, also
      with ``max_keep_ckpts=1``. Only files in the run's own folder are removed: a checkpoint that is resumed in another
      one, or in a copy, still names those of the folder that it was saved in.
    * What a killed run left half written is removed at the next start.
    """

    states: list = ()  # type: ignore[assignment]
    file_backend: Any
    resumed: tuple = (None, None)  # the file and the step that the run goes on from
    last_ckpt: str | None

    def before_train(self, runner) -> None:
        super().before_train(runner)
        self._keep_to_own_folder(runner)
        self.resumed = (self.resumed[0], runner.iter)
        if states := self.__dict__.pop('resumed_states', None):
            rank_states.restore(runner, states)
            runner.train_loop.buffers_differ = any(key.startswith('buffer.') for key in states[0])
        if is_main_process():
            for folder in {str(self.out_dir), runner.work_dir, os.path.join(runner.work_dir, FOLDER)}:
                for leftover in leftovers(folder):
                    try:
                        os.remove(leftover)
                    except FileNotFoundError:  # another node's, which has just put it in place
                        continue
                    runner.logger.info(f'Removed {leftover}, which a killed run had not finished.')

    def _keep_to_own_folder(self, runner) -> None:
        """Have the files that a resumed checkpoint names stand for those in this run's folder, or for none."""
        info = runner.message_hub.runtime_info
        for name in [each for each in info if each == INTERIM or each.startswith('best_ckpt')]:
            info[name] = self.file_backend.join_path(self.out_dir, os.path.basename(info[name]))
            if not self.file_backend.exists(info[name]):
                del info[name]
        if self.save_best is not None and len(self.key_indicators) == 1:
            self.best_ckpt_path = info.get('best_ckpt')
        elif self.save_best is not None:
            self.best_ckpt_path_dict = {each: info.get(f'best_ckpt_{each}') for each in self.key_indicators}

    def save_interim(self, runner, epoch: int, step: int) -> str:
        """Write a checkpoint of a run that is being stopped; the next regular one replaces it.

        Args:
            runner (Runner): The runner, on all ranks.
            epoch (int): Whole epochs that were trained.
            step (int): Steps that were trained.

        Returns:
            str: The file, which is complete on all ranks' return.
        """
        name = f'iter_{step}.pth'
        path = os.path.join(str(self.out_dir), name)
        # Of this very step; a regular one stays.
        if path == self.last_ckpt or (os.path.abspath(path), step) == self.resumed:
            self._point_to(runner, path)
            barrier()
            return path
        removing = _RemovesLater(self.file_backend, self.out_dir)
        removing.outdated.append(runner.message_hub.runtime_info.get(INTERIM))
        runner.message_hub.update_info(INTERIM, path)
        self._collect(runner)
        runner.save_checkpoint(
            self.out_dir, name, meta=dict(epoch=epoch, iter=step), by_epoch=False, backend_args=self.backend_args
        )
        self._point_to(runner, path)
        if is_main_process():
            removing.remove_outdated(but=[path])
        barrier()
        return path

    def _save_checkpoint_with_step(self, runner, step, meta) -> None:
        interim = runner.message_hub.runtime_info.pop(INTERIM, None)
        self._collect(runner)
        removing = _RemovesLater(self.file_backend, self.out_dir)
        self.file_backend = removing
        try:
            super()._save_checkpoint_with_step(runner, step, meta)
        finally:
            self.file_backend = removing.backend
        removing.outdated.append(interim)
        if is_main_process():
            removing.remove_outdated(but=[self.last_ckpt])

    def _save_best_checkpoint(self, runner, metrics) -> None:
        if isinstance(runner._train_loop, BaseLoop):  # the checkpoint that is saved again has been validated
            runner.message_hub.update_info(VALIDATED, runner.iter)
        removing = _RemovesLater(self.file_backend, self.out_dir)
        self.file_backend = removing
        try:
            super()._save_best_checkpoint(runner, metrics)
        finally:
            self.file_backend = removing.backend
        removing.remove_outdated(
            but=[each for each in runner.message_hub.runtime_info.values() if isinstance(each, str)]
        )

    def _collect(self, runner) -> None:
        states = rank_states.collect(runner)
        self.states = states if is_main_process() else []

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        if any(self.states):
            checkpoint[rank_states.KEY] = self.states
        self.states = []
        if hasattr(runner.train_loop, 'images'):
            checkpoint['meta']['images_in_epoch'] = runner.train_loop.images

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        if not runner._resume:
            return
        if hasattr(runner.train_loop, 'resumed_images'):
            runner.train_loop.resumed_images = checkpoint['meta'].get('images_in_epoch')
        self.resumed_states = checkpoint.get(rank_states.KEY)
        self.resumed = (os.path.abspath(runner._load_from or find_latest_checkpoint(runner.work_dir) or ''), None)

    def _point_to(self, runner, path: str) -> None:
        if is_main_process():
            self.file_backend.put_text(path, os.path.join(runner.work_dir, 'last_checkpoint'))


class _RemovesLater:
    """A file backend that removes nothing before :meth:`remove_outdated`, and then only files of one folder."""

    def __init__(self, backend, folder) -> None:
        self.backend, self.folder = backend, str(folder)
        self.outdated: list[str | None] = []

    def __getattr__(self, name: str):
        return getattr(self.backend, name)

    def remove(self, path: str) -> None:
        self.outdated.append(path)

    rmtree = remove

    def remove_outdated(self, but: list) -> None:
        """Remove all that were to be removed, except files written again since."""
        for path in self.outdated:
            if path is None or path in but or os.path.dirname(path) != self.folder.rstrip('/'):
                continue
            if self.backend.isdir(path):
                self.backend.rmtree(path)
            elif self.backend.isfile(path):
                self.backend.remove(path)
