"""The demo's data: handwritten digits as pictures, and pasted into photographs."""

from .prepare import prepare_demo_data

__all__ = ['prepare_demo_data']
