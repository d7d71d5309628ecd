"""Checkpoint files: strict loading, the config inside, upstream key names, exported backbones."""
