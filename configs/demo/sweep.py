# The demo for ten seeds, to see whether it says the same for any of them; goes on from the demo's two.
#     python tools/benchmark.py configs/demo/sweep.py
_base_ = 'bench.py'

seeds = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
