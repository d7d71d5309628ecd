"""Write every table of the README and the docs from its JSON, check that nothing is stale, or publish a bench.

Usage::

    python tools/publish.py                                   # write the tables and reports anew
    python tools/publish.py --check                           # change nothing; status 1 if something is stale
    python tools/publish.py configs/demo/bench.py docs/demo   # copy a finished bench's reports, then write
    python tools/publish.py --outdated docs/demo 'why it cannot be renewed today'

hsakd_mm/reports/published.py says how a page marks a table. ``--check`` compares tables with their JSON, configs with
those of the runs, and the first losses with those of today's code. The model zoo, docs/zoo.md, is collected from the
configs and their metafiles; costs are counted where a config's networks or method changed.
"""

import argparse
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

import hsakd_mm  # noqa: F401  patches mmengine and mmcv before they are used
from hsakd_mm.engine.launch import user_errors
from hsakd_mm.errors import UserError
from hsakd_mm.experiments.model_zoo import write_zoo, zoo_differences
from hsakd_mm.experiments.publish import mark_outdated, publish
from hsakd_mm.experiments.published_runs import check_runs
from hsakd_mm.reports.published import differences, write_published


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Write published tables from their JSON, or check them.')
    parser.add_argument('bench', nargs='?', help='bench file, such as configs/demo/bench.py')
    parser.add_argument('folder', nargs='?', help='where its reports go, such as docs/demo')
    parser.add_argument('--check', action='store_true', help='change nothing; status 1 and a line for what is stale')
    parser.add_argument(
        '--outdated', nargs=2, metavar=('FOLDER', 'REASON'), help="say that today's code does not give its numbers"
    )
    args = parser.parse_args()
    if (args.bench is None) != (args.folder is None):
        raise UserError('a bench is published into a folder: name both, as configs/demo/bench.py docs/demo.')
    if (args.bench is not None) + args.check + (args.outdated is not None) > 1:
        raise UserError('a bench with its folder, --check and --outdated are three uses: choose one.')
    return args


def main() -> None:
    args = parse_args()
    paths = [os.path.abspath(path) for path in (args.bench, args.folder, *(args.outdated or ())[:1]) if path]
    os.chdir(ROOT)  # a bench looks for its data and its work directory from here
    paths = [os.path.relpath(path) for path in paths]
    if args.check:
        check()
        return
    if args.bench:
        print('\n'.join(publish(*paths, ROOT)))
    if args.outdated:
        print('\n'.join(mark_outdated(paths[0], args.outdated[1])))
    write_zoo(ROOT)
    print('\n'.join(write_published(ROOT)) or 'All tables are as their JSON says.')


def check() -> None:
    found, runs = [*differences(ROOT), *zoo_differences(ROOT)], check_runs(ROOT)
    print('\n'.join(map(str, [*runs.skipped, *found, *runs.differences])))
    if found or runs.differences:
        sys.exit(1)


if __name__ == '__main__':
    with user_errors():
        main()
