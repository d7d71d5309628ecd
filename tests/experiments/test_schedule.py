"""Lists of runs: what is skipped, what fails, what is told."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from dataclasses import dataclass, field

import pytest

from hsakd_mm.errors import UserError
from hsakd_mm.experiments.child import RunFailed, run_child
from hsakd_mm.experiments.schedule import exit_if_failed, run_all
from hsakd_mm.experiments.stage import Stage
from hsakd_mm.processes import REQUEUE
from tests.conftest import REPO


@dataclass
class Planned:
    """A step that only notes that it ran."""

    title: str
    name: str = ''
    done: bool = False
    seconds: float = 60.0
    error: Exception | None = None
    needs: tuple = ()
    ran: list = field(default_factory=list)

    def is_done(self) -> bool:
        return self.done

    def run(self) -> None:
        self.ran.append(self.title)
        if self.error:
            raise self.error


def test_a_failure_stops_what_needs_it_and_nothing_else(capsys) -> None:
    teacher = Planned('teacher', error=RunFailed('the disk is full', 3, 'a.log'))
    student = Planned('student', needs=(teacher,))
    wrong = Planned('wrong', error=UserError('expected this: do that.'))
    plain = Planned('plain')
    after: list = []
    failed = run_all([teacher, student, wrong, plain], after.append)
    assert [(step.title, error.reason) for step, error in failed] == [
        ('teacher', 'the disk is full'),
        ('student', 'it needs teacher, which failed'),
        ('wrong', 'expected this: do that.'),
    ]
    assert plain.ran and not student.ran and after == [4]
    assert 'error: teacher failed with status 3 (log: a.log): the disk is full' in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        exit_if_failed(failed)
    assert ended.value.code == 3
    exit_if_failed([])


def test_a_repeated_step_outdates_those_that_need_it() -> None:
    class Student(Planned):
        def is_done(self) -> bool:
            return not teacher.ran  # made from what the teacher was before

    teacher = Planned('teacher')
    student, other = Student('student', needs=(teacher,)), Student('other')
    assert run_all([teacher, student, other]) == []
    assert student.ran and not other.ran


def test_what_another_process_finished_meanwhile_is_not_started(capsys) -> None:
    class First(Planned):
        def run(self) -> None:
            second.done = True

    second = Planned('second')
    assert run_all([First('first'), second]) == []
    assert not second.ran and '[2/2] second: done before, in 60 s' in capsys.readouterr().out


def test_an_interrupt_of_a_child_ends_the_list() -> None:
    last = Planned('last')
    with pytest.raises(SystemExit) as ended:
        run_all([Planned('first', error=RunFailed('interrupted', 130)), last])
    assert ended.value.code == 130 and not last.ran


@pytest.mark.parametrize(
    'same_duration, told',
    [(False, ' (about 3 min left in all; not yet known for other)'), (True, ' (about 6 min left in all)')],
)
def test_time_left_is_that_of_steps_of_the_same_name(same_duration, told, capsys) -> None:
    steps = [
        Planned('one', 'same', done=True, seconds=180.0),
        Planned('two', 'same', seconds=0.0),
        Planned('three', 'other', seconds=0.0),
    ]
    run_all(steps, same_duration=same_duration)
    out = capsys.readouterr().out
    assert '[1/3] one: done before, in 180 s' in out and f'[2/3] two{told}\n' in out


def test_many_rows_whose_time_is_not_known_are_counted(capsys) -> None:
    run_all([Planned('one', 'same', done=True), Planned('two', 'same'), *(Planned(name, name) for name in 'abcd')])
    assert '; not yet known for 4 of the rows)' in capsys.readouterr().out


def python(code: str) -> list:
    return [sys.executable, '-c', code]


@pytest.mark.parametrize(
    'code, status, reason',
    [
        ("print('error: expected a, found b.'); raise SystemExit(2)", 2, 'expected a, found b.'),
        ("print('one'); raise SystemExit(7)", 7, 'one'),
        (
            'import os, signal; os.kill(os.getpid(), signal.SIGKILL)',
            137,
            'it was ended by SIGKILL, as when memory runs out',
        ),
    ],
)
def test_what_a_child_said_last_is_the_reason(code, status, reason, tmp_path) -> None:
    log = tmp_path / 'run' / 'output.log'
    log.parent.mkdir()
    log.write_text('error: of an earlier start.\n')
    with pytest.raises(RunFailed) as failed:
        run_child(python(code), 'title', str(log))
    assert (failed.value.status, failed.value.reason, failed.value.log) == (status, reason, str(log))


@pytest.mark.parametrize('seconds, left', [('61.0', '0:01:01 left  '), ('None', '')])
def test_the_progress_that_a_child_writes_is_shown(seconds, left, tmp_path, capfd) -> None:
    code = f"""
import json, os
from hsakd_mm.files import write_atomically
result = {{'accuracy/top1': 50.0}}
told = dict(iter=4, iters=8, epoch=1, epochs=2, loss=0.25, seconds_left={seconds}, validated=1, result=result)
write_atomically(os.environ['HSAKD_MM_PROGRESS'], lambda file: file.write(json.dumps(told).encode()))
print('to the log')
"""
    run_child(python(code), 'plain, seed 0', str(tmp_path / 'output.log'))
    assert capfd.readouterr().out == f'  plain, seed 0: epoch 1/2  loss 0.25  {left}accuracy/top1 50\n'
    assert (tmp_path / 'output.log').read_text() == 'to the log\n'


def test_a_stage_is_run_once_and_again_when_its_input_changed(tmp_path, capsys) -> None:
    source, product, folder = tmp_path / 'in', tmp_path / 'out', tmp_path / 'stage'
    source.write_text('a')
    code = f"open({str(product)!r}, 'a').write('x')"
    script = tmp_path / 'tool.py'
    script.write_text(code)

    def stage(**kwargs) -> Stage:
        return Stage(str(folder), 'title', [str(script)], str(product), inputs=[str(source)], **kwargs)

    assert not stage().is_done()
    stage().run()
    assert stage().is_done() and stage().seconds > 0 and not stage(always=True).is_done()
    source.write_text('b')
    assert not stage().is_done()
    stage().run()
    assert product.read_text() == 'xx' and 'was made from other settings' in capsys.readouterr().out
    source.unlink()
    assert not stage().is_done()


@pytest.mark.parametrize('error', [RunFailed('the work directory is in use by another run'), None])
def test_the_record_of_another_process_that_finished_it_stays(tmp_path, monkeypatch, error) -> None:
    one = stage(tmp_path, 'one', '')
    record = tmp_path / 'one' / 'stage.json'

    def child(*args) -> None:
        content = json.loads(record.read_text())
        record.write_text(json.dumps({**content, 'done': True, 'seconds': 250.0}))
        (tmp_path / 'one.out').touch()
        if error:
            raise error

    monkeypatch.setattr('hsakd_mm.experiments.stage.run_child', child)
    with pytest.raises(RunFailed) if error else contextlib.nullcontext():
        one.run()
    assert one.is_done() and one.seconds == 250


def test_a_stage_that_is_always_run_and_fails_is_not_done(tmp_path, monkeypatch) -> None:
    one = stage(tmp_path, 'one', '')
    one.run()
    seconds = one.seconds
    one.run()
    assert one.is_up_to_date() and one.seconds == seconds  # of the run that made it

    def child(*args) -> None:
        raise RunFailed('the disk is full')

    monkeypatch.setattr('hsakd_mm.experiments.stage.run_child', child)
    with pytest.raises(RunFailed):
        one.run()
    assert not one.is_up_to_date()


def stage(tmp_path, name: str, code: str, needs: tuple = ()) -> Stage:
    script = tmp_path / f'{name}.py'
    product = tmp_path / f'{name}.out'
    script.write_text(f'import os\nhere = {str(tmp_path)!r}\n{code}\nopen({str(product)!r}, "w").write("x")\n')
    return Stage(str(tmp_path / name), name, [str(script)], str(product), needs=needs)


MEET = "open(f'{{here}}/gate', '{mode}').close()  # a FIFO: the reader and the writer wait for each other"


def test_jobs_run_at_a_time_and_wait_for_what_they_need(tmp_path, capsys) -> None:
    os.mkfifo(tmp_path / 'gate')
    first, second = (stage(tmp_path, name, MEET.format(mode=mode)) for name, mode in (('first', 'r'), ('second', 'w')))
    student = stage(tmp_path, 'student', "assert os.path.exists(f'{here}/first.out')", needs=(first,))
    wrong = stage(tmp_path, 'wrong', "print('error: expected a, found b.'); raise SystemExit(2)")
    lost = stage(tmp_path, 'lost', '', needs=(wrong,))
    after: list = []
    failed = run_all([first, student, second, wrong, lost], after.append, jobs=2)
    assert [(step.title, error.reason) for step, error in failed] == [
        ('wrong', 'expected a, found b.'),
        ('lost', 'it needs wrong, which failed'),
    ]
    assert sorted(after) == [1, 2, 3] and student.is_done()
    out = capsys.readouterr().out
    assert 'first: done in' in out and out.index('[2/5] student') > out.index('first: done in')
    assert run_all([first, student, second], jobs=2) == []
    assert capsys.readouterr().out.count('done before') == 3


CHILD = """
import os, signal, sys
here, requeue = sys.argv[1], int(sys.argv[2])
def end(number, frame):
    open(f'{here}/ended-{os.getpid()}', 'w').close()
    sys.exit(requeue if number == signal.SIGUSR1 else 128 + number)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, end)
with open(f'{here}/there', 'w') as there:
    there.write('.')
while True:
    signal.pause()
"""
LIST = """
import sys
from hsakd_mm.engine.launch import user_errors
from hsakd_mm.experiments.schedule import run_all
from hsakd_mm.experiments.stage import Stage
here = sys.argv[1]
with user_errors('stopped.'):
    run_all([Stage(f'{here}/{name}', name, [f'{here}/child.py', *sys.argv[1:]], f'{here}/{name}.out')
             for name in 'abc'], jobs=int(sys.argv[3]))
"""


@pytest.mark.parametrize('jobs', [1, 2])
@pytest.mark.parametrize(
    'number, status, said',
    [
        (signal.SIGINT, 130, 'stopped.'),
        (signal.SIGTERM, 143, 'stopped by SIGTERM: the same command goes on.'),
        (signal.SIGUSR1, REQUEUE, 'stopped by SIGUSR1: the same command goes on.'),
    ],
    ids=str,
)
def test_a_signal_reaches_all_jobs(tmp_path, number, status, said, jobs) -> None:
    """The children end by themselves, and nothing new is started."""
    (tmp_path / 'child.py').write_text(CHILD)
    (tmp_path / 'list.py').write_text(LIST)
    os.mkfifo(tmp_path / 'there')
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / 'list.py'), str(tmp_path), str(REQUEUE), str(jobs)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, 'PYTHONPATH': str(REPO)},
    )
    there = os.open(tmp_path / 'there', os.O_RDWR)  # never at its end, whoever has closed it
    for _ in range(jobs):
        assert select.select([there], [], [], 60)[0], 'no child within a minute'
        os.read(there, 1)
    os.close(there)
    process.send_signal(number)
    _, errors = process.communicate()
    assert process.returncode == status, errors
    assert errors.count(said) == 1, errors
    assert len(list(tmp_path.glob('ended-*'))) == jobs and not (tmp_path / 'c').exists()
