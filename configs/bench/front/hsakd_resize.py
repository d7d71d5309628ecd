# HSAKD with progressive resolution.
_base_ = 'hsakd.py'

custom_hooks = [
    dict(type='ProgressiveResizeHook', sizes=[(0, 16), (0.4, 24), (0.7, 32)])
]
