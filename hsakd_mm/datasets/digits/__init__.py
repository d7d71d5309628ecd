"""The demo's data: images of handwritten digits, and scenes with several digits."""

from .prepare import prepare_demo_data

__all__ = ['prepare_demo_data']
