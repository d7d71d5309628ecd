"""Python processes that start with their imports done: a third of a test's time otherwise goes into importing torch.

``PYTHON`` is a small program that stands in for the interpreter. It hands its arguments, environment, folder and open
files to a server that has imported other people's packages, none of ours and none of OpenMMLab's but mmengine. The
server forks a process, which runs the script as an interpreter would; signals and statuses are handed on. Only scripts
and modules (``tool.py ARGS``, ``-m module ARGS``) run in it; with any other arguments the program becomes the
interpreter itself.

Tests of process trees (who dies with whom) start real interpreters: here a process is not its starter's child.
"""

import atexit
import gc
import json
import os
import runpy
import select
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path
from types import SimpleNamespace

CLIENT = """#!{python} -SE
import json, os, signal, socket, sys
args = sys.argv[1:]
while args[:1] == ['-u']:
    args.pop(0)
if not args or not (args[0].endswith('.py') or args[0] == '-m'):
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
link = socket.socket(socket.AF_UNIX)
link.connect({address!r})
request = json.dumps(dict(args=args, env=dict(os.environ), cwd=os.getcwd())).encode()
socket.send_fds(link, [len(request).to_bytes(8, 'little')], [0, 1, 2])
link.sendall(request)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP):
    if signal.getsignal(number) is not signal.SIG_IGN:
        signal.signal(number, lambda number, frame: link.send(bytes([number])))
answer = b''
while len(answer) < 4:
    part = link.recv(4 - len(answer))
    if not part:
        sys.exit(1)
    answer += part
status = int.from_bytes(answer, 'little', signed=True)
if status < 0:
    signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
os._exit(status)
"""


def leave_out_what_takes_long() -> None:
    """Of mmengine: the layout of a config's text, a search for garbage at each data set that is built, and reading
    all of mmdet's metafiles for each base of a config."""
    import mmengine.config.config
    import mmengine.config.utils
    import mmengine.dataset.base_dataset

    mmengine.config.config.FormatCode = lambda text, **_: (text, True)
    mmengine.config.config.is_installed = cache(mmengine.config.config.is_installed)
    mmengine.config.utils.load = cache(mmengine.config.utils.load)
    mmengine.dataset.base_dataset.gc = SimpleNamespace(collect=lambda: 0)


@cache
def prestarted() -> str:
    """The stand-in for ``sys.executable``; its server ends with this process."""
    folder = tempfile.mkdtemp(prefix='python')
    address, client = os.path.join(folder, 'socket'), os.path.join(folder, 'python')
    Path(client).write_text(CLIENT.format(python=sys.executable, address=address))
    os.chmod(client, stat.S_IRWXU)
    server = subprocess.Popen(
        [sys.executable, __file__, address, client],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''},
    )
    assert server.stdout is not None and server.stdout.readline() == b'ready\n'
    return client


def serve(address: str, client: str) -> None:
    """Fork a process for each request, until the starter has closed our stdin."""
    import cv2  # noqa: F401
    import matplotlib.pyplot  # noqa: F401
    import mmengine.runner  # noqa: F401
    import pycocotools.mask  # noqa: F401
    import scipy.stats  # noqa: F401
    import sklearn.gaussian_process  # noqa: F401
    import torchvision  # noqa: F401
    from mmengine.config import Config

    # timm imports it if it is there. It makes a temporary folder, which the first child to end would remove.
    sys.modules['wandb'] = None  # type: ignore[assignment]
    import timm  # noqa: F401

    del sys.modules['wandb']

    leave_out_what_takes_long()
    Config._get_cfg_path('mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', '')  # mmdet's metafiles are remembered
    gc.collect()
    gc.freeze()  # see tests/conftest.py
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(16)
    print('ready', flush=True)
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
            os._exit(0)
        link, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            attend(link, client)
        link.close()


def attend(link: socket.socket, client: str) -> None:
    """Run one request in a child, and hand signals to it and its status back."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    head, files, _, _ = socket.recv_fds(link, 8, 3)
    length, request = int.from_bytes(head, 'little'), b''
    while len(request) < length:
        request += link.recv(length - len(request))
    child = os.fork()
    if child == 0:
        link.close()
        become(json.loads(request), files, client)
    for file in files:
        os.close(file)
    end, gone = os.pidfd_open(child), False
    while True:
        ready, _, _ = select.select([end] if gone else [end, link], [], [])
        if end in ready:
            break
        number = link.recv(1)
        gone = not number
        os.kill(child, signal.SIGKILL if gone else number[0])
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if not gone:
        link.sendall(status.to_bytes(4, 'little', signed=True))
    os._exit(0)


def become(request: dict, files: list, client: str) -> None:
    """Run the script of a request in this process, and end it."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    os.chdir(request['cwd'])
    os.environ.clear()
    os.environ.update(request['env'])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    os.setpgid(0, 0)
    sys.executable, args = client, request['args']
    module = args[0] == '-m'
    sys.argv = args[1:] if module else args
    paths = os.environ.get('PYTHONPATH', '').split(os.pathsep)
    first = os.getcwd() if module else os.path.dirname(os.path.abspath(args[0]))
    sys.path[:] = [first, *filter(None, paths), *sys.path[1:]]
    if os.environ.get('PYTHONUNBUFFERED'):
        sys.stdout.reconfigure(write_through=True)  # type: ignore[attr-defined]
    status = 0
    try:
        if module:
            runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)
        else:
            runpy.run_path(sys.argv[0], run_name='__main__')
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == '__main__':
    serve(*sys.argv[1:])
