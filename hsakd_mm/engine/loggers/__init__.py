"""TensorBoard, Weights & Biases and MLflow as backends of mmengine's visualizer."""

from .mlflow_backend import MLflowVisBackend
from .tensorboard_backend import TensorboardVisBackend
from .wandb_backend import WandbVisBackend

__all__ = ['MLflowVisBackend', 'TensorboardVisBackend', 'WandbVisBackend']
