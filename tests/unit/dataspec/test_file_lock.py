from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dataspec.file_lock import FileLock, LockStopped

HOLDER = """
import sys, threading
from pathlib import Path
from dataspec.file_lock import FileLock
lock = FileLock(Path(sys.argv[1]), shared=sys.argv[2] == "shared")
lock.acquire("another process", waiting=print, stop=threading.Event())
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held_elsewhere(path: Path, kind: str = "alone") -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, path, kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def take(lock: FileLock, seen: list[str] | None = None, *, give_up: bool = False) -> list[str]:
    """Take a lock, or give up once it is seen to be held; return whom it waited for."""
    stop, seen = threading.Event(), [] if seen is None else seen

    def waiting(holder: str) -> None:
        seen.append(holder)
        if give_up:
            stop.set()

    lock.acquire("this test", waiting=waiting, stop=stop)
    return seen


@pytest.mark.rule("12.16")
def test_a_lock_has_one_holder_and_the_others_are_told_who(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    seen: list[str] = []
    with held_elsewhere(path), pytest.raises(LockStopped):
        take(FileLock(path), seen, give_up=True)
    assert seen == ["another process"]


@pytest.mark.rule("12.16")
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_a_lock_is_free_when_the_process_that_held_it_is_gone(tmp_path: Path, ending: signal.Signals) -> None:
    path = tmp_path / "x.lock"
    with held_elsewhere(path) as process:
        taken = threading.Event()
        lock = FileLock(path)

        def wait() -> None:
            take(lock)
            taken.set()

        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not taken.wait(0.5)
        process.send_signal(ending)
        assert taken.wait(120)
        waiting.join()
    lock.release()


def test_a_released_lock_can_be_taken_again(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "x.lock"), FileLock(tmp_path / "x.lock")
    assert take(first) == []
    first.release()
    assert take(second) == []
    second.release()
    second.release()


@pytest.mark.rule("12.16")
def test_readers_share_and_keep_a_writer_out(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with held_elsewhere(path, "shared"):
        reader = FileLock(path, shared=True)
        assert take(reader) == []
        reader.release()
        with pytest.raises(LockStopped):
            take(FileLock(path), give_up=True)


def test_a_wait_that_was_stopped_before_it_began_takes_nothing(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(LockStopped):
        FileLock(tmp_path / "x.lock").acquire("x", waiting=print, stop=stop)


def test_a_lock_makes_the_folder_of_its_file(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "a" / "b" / "x.lock")
    take(lock)
    lock.release()
    assert (tmp_path / "a" / "b" / "x.lock").read_text() == "this test"
