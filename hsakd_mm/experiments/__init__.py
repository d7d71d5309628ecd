"""Experiments: one plan of runs (pretraining, export, detector), stages that skip and resume, results."""
