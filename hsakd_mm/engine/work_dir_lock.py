"""One run at a time in a work directory.

The lock is a file ``.lock-N`` that rank 0 creates, and N is one more than that of the last run that did not
remove its own. Two runs that find the same dead lock try to create the same file, and exactly one can. All that
is assumed of the file system is that exclusive creation is atomic, as on local disks, NFS 3 and later, Lustre,
GPFS and BeeGFS; ``flock``, which some of them lack, is not used.

The owner is gone if its pid is (same machine and same container), or if the file's time, which the owner renews
every 15 s, is 180 s old: NFS may show a time that is 60 s old. The file system's clock is used, not the machine's.
"""

import json
import os
import platform
import re
import sys
import threading
import time
from contextlib import contextmanager, suppress

from hsakd_mm.engine.run_mark import now
from hsakd_mm.errors import UserError
from hsakd_mm.processes import alive, ranks

RENEWED = 15  # seconds
GONE = 180


@contextmanager
def only_run(work_dir: str):
    """Hold the work directory's lock on rank 0; other ranks do nothing.

    Args:
        work_dir (str): Exists.

    Raises:
        UserError: Another run holds it.
    """
    if ranks()[0]:
        yield
        return
    file = _take(work_dir)
    ended = threading.Event()
    threading.Thread(target=_renew, args=(file, _text(file), ended), daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        with suppress(OSError):
            os.remove(file)


def refuse_if_used(work_dir: str) -> None:
    """For who is to move a work directory, and starts no run in it.

    Args:
        work_dir (str): Exists.

    Raises:
        UserError: A run holds its lock.
    """
    _free_numbers(work_dir)


def _free_numbers(work_dir: str) -> list[int]:
    """The numbers of the dead locks; raises UserError if a run holds the last."""
    numbers = [int(found[1]) for name in os.listdir(work_dir) if (found := re.fullmatch(r'\.lock-(\d+)', name))]
    if numbers:
        _refuse(work_dir, os.path.join(work_dir, f'.lock-{max(numbers)}'))
    return numbers


def _take(work_dir: str) -> str:
    """Create the lock file; returns its path."""
    while True:
        numbers = _free_numbers(work_dir)
        last = max(numbers, default=0)
        file = os.path.join(work_dir, f'.lock-{last + 1}')
        try:
            with open(file, 'x') as out:
                out.write(json.dumps(_me()))
                out.flush()
                os.fsync(out.fileno())
        except FileExistsError:  # another start was faster: look at it
            time.sleep(0.05)
            continue
        if any(int(name[6:]) > last + 1 for name in os.listdir(work_dir) if re.fullmatch(r'\.lock-(\d+)', name)):
            os.remove(file)  # the list above was an old one, as NFS may give
            continue
        for number in numbers:
            with suppress(OSError):
                os.remove(os.path.join(work_dir, f'.lock-{number}'))
        return file


def _refuse(work_dir: str, file: str) -> None:
    """Raises UserError if the owner of this lock file may be running."""
    try:
        age = _age(work_dir, file)
    except FileNotFoundError:  # it has just ended
        return
    owner = _read(file)
    me = _me()
    here = bool(owner) and owner.get('machine') == me['machine']
    if here and not (alive(owner['pid']) and _started(owner['pid']) == owner['started']):
        return
    if not here and age > GONE:
        return
    # Slurm does not requeue a job before all of it has ended.
    if owner and owner.get('job') and owner['job'] == me['job'] and owner['requeued'] < me['requeued']:
        return
    who = (
        f'process {owner["pid"]} on {owner["host"]}, since {owner["since"]}' if owner else 'its owner is not yet known'
    )
    wait = '' if here else f', or, if that machine is down, start again {GONE} s after its last sign of life'
    raise UserError(
        f'the work directory {work_dir} is in use by another run ({who}): wait for it or end it, choose another with '
        f'--work-dir{wait}.'
    )


def _me() -> dict:
    pid = os.getpid()
    return {
        'host': platform.node(),
        'pid': pid,
        'started': _started(pid),
        'since': time.strftime('%Y-%m-%d %H:%M:%S'),
        'machine': _machine(),
        'job': os.environ.get('SLURM_JOB_ID', ''),
        'requeued': int(os.environ.get('SLURM_RESTART_COUNT', 0)),
    }


def _machine() -> str:
    """Where pids can be compared: this boot of this machine, and this container."""
    parts = [platform.node()]
    with suppress(OSError), open('/proc/sys/kernel/random/boot_id') as file:
        parts.append(file.read().strip())
    with suppress(OSError):
        parts.append(os.readlink('/proc/self/ns/pid'))
    return ' '.join(parts)


def _started(pid: int) -> str:
    """When the process started, in the kernel's ticks: a pid may be given again. Empty if not on Linux."""
    with suppress(OSError), open(f'/proc/{pid}/stat') as file:
        fields = file.read().rpartition(')')[2].split()
        return '' if fields[0] in 'ZX' else fields[19]  # a zombie has ended
    return ''


def _age(work_dir: str, file: str) -> float:
    """Seconds since the file's time, by the file system's own clock."""
    return now(work_dir) / 1e9 - os.stat(file).st_mtime


def _text(file: str) -> str:
    with suppress(OSError), open(file) as content:
        return content.read()
    return ''


def _read(file: str) -> dict:
    """The content; an owner that has just created the file may not have written it yet."""
    with suppress(ValueError):
        content = json.loads(_text(file))
        return content if isinstance(content, dict) else {}
    return {}


def _is_gone(file: str) -> bool:
    """Whether the file was removed; any other error is the file server's."""
    try:
        os.stat(file)
    except FileNotFoundError:
        return True
    return False


def _renew(file: str, text: str, ended: threading.Event) -> None:
    """Show that the owner lives; end it if it lost its lock, as after hours in which its machine slept."""
    while not ended.wait(RENEWED):
        with suppress(OSError):  # a file server that is away for a moment
            if _text(file) == text:
                os.utime(file)
            elif _is_gone(file) or _text(file):
                if ended.is_set():
                    return
                print(
                    f'error: the lock {file} of this run was removed or taken over by another: this one ends, to not '
                    f'write beside it.',
                    file=sys.stderr,
                    flush=True,
                )
                os._exit(1)
