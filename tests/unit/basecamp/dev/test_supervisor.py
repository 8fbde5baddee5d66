"""The supervisor on small programs that behave, die, and refuse to end."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

from basecamp.dev.processes.components import Component
from basecamp.dev.processes.guard import Guard, session_members
from basecamp.dev.processes.interrupts import Interrupted, Interrupts
from basecamp.dev.processes.process import Program
from basecamp.dev.processes.supervisor import Progress, Supervisor
from dataspec.errors import Unavailable

BEHAVED = "import pathlib, os, time; pathlib.Path('up').write_text(str(os.getpid())); time.sleep(600)"

STUBBORN = """
import os, pathlib, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setpgid(0, 0)  # as Airflow does with a task
    if os.fork() == 0:
        pathlib.Path('up').write_text(str(os.getsid(0)))
time.sleep(600)
"""


@pytest.fixture
def interrupts() -> Iterator[Interrupts]:
    with Interrupts() as entered:
        yield entered


@pytest.fixture
def guard() -> Iterator[Guard]:
    with Path(os.devnull).open() as held, Guard(held.fileno()) as entered:
        yield entered


@pytest.fixture
def shown() -> StringIO:
    return StringIO()


@pytest.fixture
def supervise(guard: Guard, interrupts: Interrupts, shown: StringIO) -> Callable[..., Supervisor]:
    def make(grace: float = 10.0) -> Supervisor:
        return Supervisor(guard, interrupts, Progress(shown), grace=grace)

    return make


def part(folder: Path, source: str, name: str = "part") -> Component:
    command = [sys.executable, "-c", source]
    program = Program(
        name=name, command=command, environ=os.environ, folder=folder, log=folder / f"{name}.log"
    )
    up = folder / "up"
    return Component(program, lambda: up.exists() and bool(up.read_text()))


def signal_when_up(folder: Path) -> None:
    """Send SIGTERM to this process as soon as the part in a folder runs."""

    def watch() -> None:
        while not ((folder / "up").exists() and (folder / "up").read_text()):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch).start()


def session_in(folder: Path) -> int:
    return int((folder / "up").read_text())


def test_parts_are_up_when_started_and_gone_when_left(
    supervise: Callable[..., Supervisor], tmp_path: Path, shown: StringIO
) -> None:
    with supervise() as supervisor:
        supervisor.start(part(tmp_path, BEHAVED, "web"))
        assert session_members(session_in(tmp_path))

    assert not session_members(session_in(tmp_path))
    assert "web is running" in shown.getvalue()


@pytest.mark.rule("28.4")
def test_a_part_that_dies_while_starting_is_named_with_the_end_of_its_log(
    supervise: Callable[..., Supervisor], tmp_path: Path
) -> None:
    dying = part(tmp_path, "print('the port is taken'); raise SystemExit(3)", "web")

    with pytest.raises(Unavailable) as died, supervise() as supervisor:
        supervisor.start(dying)

    assert died.value.title == "web exited with status 3."
    assert str(tmp_path / "web.log") in (died.value.detail or "")
    assert "the port is taken" in (died.value.detail or "")


def test_a_part_that_is_killed_later_ends_the_watch_and_takes_the_others_down(
    supervise: Callable[..., Supervisor], tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()

    with supervise() as supervisor:
        supervisor.start(part(tmp_path, BEHAVED, "web"), part(tmp_path / "other", BEHAVED, "other"))
        os.kill(session_in(tmp_path), signal.SIGKILL)
        with pytest.raises(Unavailable, match=r"web was killed by SIGKILL"):
            supervisor.watch()

    assert not session_members(session_in(tmp_path / "other"))


@pytest.mark.rule("28.4")
def test_a_part_that_keeps_nothing_is_started_again_when_it_is_killed(
    supervise: Callable[..., Supervisor], tmp_path: Path, shown: StringIO
) -> None:
    (tmp_path / "other").mkdir()

    def kill_and_interrupt() -> None:
        killed = session_in(tmp_path)
        os.kill(killed, signal.SIGKILL)
        while (tmp_path / "up").read_text() in {"", str(killed)}:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    with supervise() as supervisor:
        stateless = replace(part(tmp_path, BEHAVED, "web"), stateless=True)
        supervisor.start(stateless, part(tmp_path / "other", BEHAVED, "other"))
        other = session_in(tmp_path / "other")
        threading.Thread(target=kill_and_interrupt).start()
        with pytest.raises(Interrupted):
            supervisor.watch()
        assert session_in(tmp_path / "other") == other

    assert "web was killed by SIGKILL: restarting it" in shown.getvalue()
    assert not session_members(session_in(tmp_path))


@pytest.mark.rule("28.4")
def test_a_part_that_ends_again_and_again_ends_the_watch(
    supervise: Callable[..., Supervisor], tmp_path: Path, shown: StringIO
) -> None:
    short_lived = """
import pathlib, time
pathlib.Path('up').write_text('up')
while not pathlib.Path('end').exists():
    time.sleep(0.01)
raise SystemExit(3)
"""
    with supervise() as supervisor:
        supervisor.start(replace(part(tmp_path, short_lived, "web"), stateless=True))
        (tmp_path / "end").touch()
        with pytest.raises(Unavailable, match=r"web exited with status 3"):
            supervisor.watch()

    assert "web exited with status 3: restarting it" in shown.getvalue()


def test_another_program_s_answer_on_the_port_is_not_taken_for_the_part_s(
    supervise: Callable[..., Supervisor], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        answered = replace(part(tmp_path, BEHAVED, "web"), port=port)

        with pytest.raises(Unavailable) as taken, supervise() as supervisor:
            supervisor.start(answered)

    assert taken.value.title.endswith(f"(pid {os.getpid()}) took port {port} before web.")


def test_a_program_that_is_not_there_is_named(supervise: Callable[..., Supervisor], tmp_path: Path) -> None:
    missing = Program(
        name="airflow", command=["/no/airflow"], environ={}, folder=tmp_path, log=tmp_path / "log"
    )

    with pytest.raises(Unavailable, match=r"airflow can't be started"), supervise() as supervisor:
        supervisor.run(missing, "starting it")


def test_what_does_not_end_by_itself_is_killed_with_all_that_it_started(
    supervise: Callable[..., Supervisor], tmp_path: Path
) -> None:
    with supervise(grace=0.5) as supervisor:
        supervisor.start(part(tmp_path, STUBBORN))
        assert len(session_members(session_in(tmp_path))) == 3

    assert not session_members(session_in(tmp_path))


def test_a_second_signal_kills_at_once(supervise: Callable[..., Supervisor], tmp_path: Path) -> None:
    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    since = time.monotonic()
    with supervise(grace=300) as supervisor:
        supervisor.start(part(tmp_path, STUBBORN))
        interrupt()
        with pytest.raises(Interrupted):
            supervisor.watch()
        threading.Timer(0.5, interrupt).start()

    assert time.monotonic() - since < 300
    assert not session_members(session_in(tmp_path))


def test_a_signal_while_starting_takes_down_what_was_started(
    supervise: Callable[..., Supervisor], tmp_path: Path
) -> None:
    never = Component(part(tmp_path, BEHAVED).program, lambda: False)
    signal_when_up(tmp_path)

    with pytest.raises(Interrupted), supervise() as supervisor:
        supervisor.start(never)

    assert not session_members(session_in(tmp_path))


def test_a_signal_while_a_program_is_run_to_its_end_takes_it_down(
    supervise: Callable[..., Supervisor], tmp_path: Path
) -> None:
    signal_when_up(tmp_path)

    with pytest.raises(Interrupted), supervise() as supervisor:
        supervisor.run(part(tmp_path, BEHAVED).program, "migrating")

    assert not session_members(session_in(tmp_path))


def test_a_program_that_is_run_to_its_end_is_not_watched_afterwards(
    supervise: Callable[..., Supervisor], tmp_path: Path
) -> None:
    with supervise() as supervisor:
        supervisor.run(part(tmp_path, "pass").program, "doing it")
        supervisor.start(part(tmp_path, BEHAVED, "web"))  # which fails where a watched part has ended
        assert session_members(session_in(tmp_path))


def test_each_start_begins_a_new_log_and_keeps_the_last(
    supervise: Callable[..., Supervisor], tmp_path: Path
) -> None:
    for word in ("first", "second"):
        with supervise() as supervisor:
            supervisor.run(part(tmp_path, f"print('{word}')").program, "talking")

    assert (tmp_path / "part.log").read_text() == "second\n"
    assert (tmp_path / "part.1.log").read_text() == "first\n"


SUPERVISED = """
import os
import subprocess
import sys
from pathlib import Path
from basecamp.dev.processes.guard import Guard
from basecamp.dev.home import Home
from basecamp.dev.processes.interrupts import Interrupts
from basecamp.dev.processes.components import Component
from basecamp.dev.processes.process import Program
from basecamp.dev.processes.supervisor import Progress
from basecamp.dev.processes.supervisor import Supervisor

folder, moment = Path(sys.argv[1]), sys.argv[3]
command = [sys.executable, "-c", sys.argv[2]]
program = Program(name="part", command=command, environ={}, folder=folder, log=folder / "part.log")
with Interrupts() as interrupts, Home(folder / "home").held(interrupts) as held, Guard(held) as guard:
    if moment == "starting":
        class DeadlyPopen(subprocess.Popen):
            def __init__(self, *arguments, **options):
                super().__init__(*arguments, **options)
                print(self.pid, flush=True)
                os.kill(os.getpid(), 9)
        subprocess.Popen = DeadlyPopen
    with Supervisor(guard, interrupts, Progress(sys.stderr)) as supervisor:
        supervisor.start(Component(program, lambda: (folder / "up").exists()))
        print("up", flush=True)
        supervisor.watch()
"""


def test_a_killed_supervisor_leaves_nothing_and_holds_the_home_until_then(tmp_path: Path) -> None:
    from basecamp.dev.home import Home

    command = [sys.executable, "-c", SUPERVISED, str(tmp_path), BEHAVED, "watching"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout
        assert supervisor.stdout.readline() == b"up\n"
        session = session_in(tmp_path)
        supervisor.kill()

    with Interrupts() as interrupts, Home(tmp_path / "home").held(interrupts):
        assert not session_members(session)


@pytest.mark.rule("28.3")
def test_a_supervisor_that_is_killed_the_moment_it_starts_a_part_leaves_nothing(tmp_path: Path) -> None:
    from basecamp.dev.home import Home

    command = [sys.executable, "-c", SUPERVISED, str(tmp_path), BEHAVED, "starting"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    assert done.returncode == -signal.SIGKILL

    with Interrupts() as interrupts, Home(tmp_path / "home").held(interrupts):
        assert not session_members(int(done.stdout))
