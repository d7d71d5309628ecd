"""A run of MLflow for a training and its resumed parts."""

import os
import re
from pathlib import Path

from mmengine import visualization
from mmengine.logging import MMLogger
from torch import Tensor

from hsakd_mm.engine.loggers.remembered import OneRun
from hsakd_mm.errors import UserError
from hsakd_mm.registry import VISBACKENDS

EXPERIMENT = 'hsakd_mm'  # unless MLFLOW_EXPERIMENT_NAME, or exp_name, say another
LONGEST = 500  # characters of a parameter's value: what MLflow's older servers take


@VISBACKENDS.register_module()
class MLflowVisBackend(OneRun, visualization.MLflowVisBackend):
    """mmengine's, for MLflow 3, with one run for a training that was stopped and resumed.

    mmengine's writes into a folder of files, which MLflow 3 refuses; its upload at the end takes the whole work
    directory. Here it is a database of SQLite, ``<work dir>/mlflow.db``, with the artifacts beside it, unless
    ``MLFLOW_TRACKING_URI`` or ``tracking_uri`` name a server or another place; and the log files of this start are
    uploaded. A server that does not answer is said once, and the training goes on.

    Args:
        save_dir (str): Set by the Runner.
        exp_name (str): Default: ``MLFLOW_EXPERIMENT_NAME`` or ``hsakd_mm``.
        run_name (str): Default: the name of the work directory.
        **kwargs: See :class:`mmengine.visualization.MLflowVisBackend`.

    Raises:
        UserError: No run can begin there.
    """

    kind, title, package = 'mlflow', 'MLflow', 'mlflow'
    _said = False

    def _init_env(self) -> None:
        import mlflow

        self._mlflow = mlflow
        local = f'sqlite:///{self.work_dir}/mlflow.db'
        uri = self._tracking_uri or os.environ.get('MLFLOW_TRACKING_URI') or local
        name = self._exp_name or os.environ.get('MLFLOW_EXPERIMENT_NAME') or EXPERIMENT
        before = self.remembered() or {}
        try:
            mlflow.set_tracking_uri(uri)
            if before.get('tracking_uri') == uri:
                self._run = mlflow.start_run(run_id=before['run_id'])
            else:
                experiment = mlflow.get_experiment_by_name(name)
                beside = Path(self.work_dir, 'mlartifacts').as_uri() if uri == local else None
                identity = (
                    mlflow.create_experiment(name, artifact_location=self._artifact_location or beside)
                    if experiment is None
                    else experiment.experiment_id
                )
                self._run = mlflow.start_run(
                    experiment_id=identity, run_name=self._run_name or self.run_name, tags=self._tags
                )
            self._log_config()
        except (mlflow.exceptions.MlflowException, OSError) as error:
            raise UserError(
                f'a run of MLflow was to begin in {uri}, and that failed ({error}): check MLFLOW_TRACKING_URI and the '
                f'server, or leave both out for a database in the work directory.'
            ) from error
        self.remember(dict(tracking_uri=uri, run_id=self._run.info.run_id))

    def _log_config(self) -> None:
        if self.cfg is None:
            return
        config = self.cfg.to_dict()
        if self._tracked_config_keys is not None:
            config = {key: config[key] for key in self._tracked_config_keys}
        values = {**self._flatten(config), **(self._params or {})}
        values = {_allowed(name): str(value)[:LONGEST] for name, value in values.items()}
        known = self._mlflow.get_run(self._run.info.run_id).data.params  # these cannot be changed
        self._mlflow.log_params({name: value for name, value in values.items() if name not in known})
        self._mlflow.log_text(self.cfg.pretty_text, 'config.py')

    def add_scalars(self, scalar_dict: dict, step: int = 0, file_path: str | None = None, **kwargs) -> None:
        scalars, step = self.at_step(scalar_dict, step, file_path)
        self.experiment  # noqa: B018  begins the run, if nothing has
        numbers = {_allowed(name): float(value) for name, value in scalars.items() if _is_number(value)}
        self._try(self._mlflow.log_metrics, numbers, step=step)

    def add_image(self, name: str, image, step: int = 0, **kwargs) -> None:
        self.experiment  # noqa: B018  begins the run, if nothing has
        self._try(self._mlflow.log_image, image, f'images/{_allowed(name)}_{step}.png')

    def _try(self, log, *args, **kwargs) -> None:
        try:
            log(*args, **kwargs)
        except Exception as error:  # of the network, the server, the database
            if not self._said:
                MMLogger.get_current_instance().warning(f'MLflow could not be told of this run: {error}')
            self._said = True

    def end(self, state: str) -> None:
        self.close('KILLED' if state in ('killed', 'preempted') else 'FAILED')

    def close(self, status: str = 'FINISHED') -> None:
        if not hasattr(self, '_mlflow'):
            return
        folder = os.path.dirname(os.path.abspath(self._save_dir))  # of this start: its log, and vis_data
        for path in sorted(Path(folder).rglob('*')):
            if path.name.endswith(tuple(self._artifact_suffix)) and path.is_file():
                place = os.path.relpath(path.parent, os.path.dirname(folder))
                self._try(self._mlflow.log_artifact, str(path), place)
        self._try(self._mlflow.end_run, status)

    @property
    def place(self) -> str:
        return f'mlflow ui --backend-store-uri {self._mlflow.get_tracking_uri()}'


def _allowed(name: str) -> str:
    """The name with the characters that MLflow takes."""
    return re.sub(r'[^\w\-. /]', '_', name)


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) or (isinstance(value, Tensor) and value.numel() == 1)
