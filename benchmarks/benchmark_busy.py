"""What a busy neighbour does to a training step on a CPU, by how OpenMP's threads wait.

Usage::

    python benchmarks/benchmark_busy.py [CONFIG] [--batch 16 --size 32] [--out FILE]

A step of CONFIG (default: the demo's HSAKD), with as many threads as there are cores: alone and beside one process
that never rests, for several times that a thread looks before it sleeps (hsakd_mm/threads.py chooses one). Each is a
process of its own, and they take turns.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from benchmarks.origin import origin
from benchmarks.timing import median
from hsakd_mm.threads import available_cores

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WAYS = {
    "OpenMP's default": {},
    'never spinning': dict(OMP_WAIT_POLICY='PASSIVE'),
    'spinning 1,000 times': dict(GOMP_SPINCOUNT='1000'),
    'spinning 10,000 times': dict(GOMP_SPINCOUNT='10000'),
    'spinning 30,000 times': dict(GOMP_SPINCOUNT='30000'),
}


def step_ms(args: argparse.Namespace, way: dict, threads: int) -> float:
    """Median of a step in a new process."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(('OMP_', 'GOMP_'))}
    env.update(way, OMP_NUM_THREADS=str(threads))
    with tempfile.NamedTemporaryFile(suffix='.json') as out:
        script = os.path.join(REPO, 'benchmarks', 'benchmark_step.py')
        sizes = [f'--batch={args.batch}', f'--size={args.size}', '--steps=4', '--rounds=1', '--device=cpu']
        command = [sys.executable, script, args.config, '--random-teacher', *sizes, '--variants', 'fp32']
        # benchmark_step imports torch before hsakd_mm could set a policy of its own.
        subprocess.run([*command, '--out', out.name], env=env, check=True, stdout=subprocess.DEVNULL)
        return json.load(open(out.name))['variants']['fp32']['ms a step']


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', nargs='?', default=os.path.join(REPO, 'configs', 'demo', 'hsakd.py'))
    parser.add_argument('--batch', type=int, default=16)
    parser.add_argument('--size', type=int, default=32)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--out', metavar='FILE', help='JSON')
    args = parser.parse_args()
    threads = available_cores()
    times: dict = {}
    for turn in range(args.rounds):
        for neighbours in (0, 1):
            busy = [subprocess.Popen([sys.executable, '-c', 'while True: pass']) for _ in range(neighbours)]
            try:
                for name, way in WAYS.items():
                    ms = step_ms(args, way, threads)
                    times.setdefault(f'{name}, {neighbours} busy', []).append(ms)
                    print(f'round {turn + 1}/{args.rounds}: {name}, {neighbours} busy: {ms:.0f} ms', flush=True)
            finally:
                for process in busy:
                    process.kill()
    result = dict(
        origin(), config=os.path.relpath(args.config, REPO), batch=args.batch, size=args.size, threads=threads
    )
    result['ms a step'] = {name: dict(median=median(values), all=values) for name, values in times.items()}
    text = json.dumps(result, indent=1)
    print(text)
    if args.out:
        with open(args.out, 'w') as file:
            file.write(text + '\n')


if __name__ == '__main__':
    main()
