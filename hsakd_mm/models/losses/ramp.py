"""Ramp-up of a loss weight over the first epochs."""

import math


def ramp_up(epochs: float, length: float) -> float:
    """Laine and Aila's ``exp(−5 (1 − min(e, E) / E)²)`` at e epochs of E: from .007 to 1.

    Args:
        epochs (float): e.
        length (float): E; 0 is full weight from the start.
    """
    return math.exp(-5 * (1 - min(1, epochs / length)) ** 2) if length else 1.0
