import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from basecamp.dev.configuration import kept_keys
from basecamp.dev.home import Addresses, Home
from basecamp.dev.processes.interrupts import Interrupts
from dataspec.errors import InvalidUsage, Refused

HOLD = """
import sys
from pathlib import Path
from basecamp.dev.home import Home
from basecamp.dev.processes.interrupts import Interrupts

with Interrupts() as interrupts, Home(Path(sys.argv[1])).held(interrupts):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.rule("28.5")
def test_a_home_in_use_is_refused_with_the_pid_of_who_uses_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"

        with Interrupts() as interrupts, pytest.raises(Refused, match=rf"pid {holder.pid}\b"):
            Home(tmp_path).held(interrupts).__enter__()

        holder.kill()
    with Interrupts() as interrupts, Home(tmp_path).held(interrupts):
        pass


def test_a_home_is_free_again_after_it_was_held(tmp_path: Path) -> None:
    """Hold it twice: a home that is in use would be refused."""
    with Interrupts() as interrupts:
        for _ in range(2):
            with Home(tmp_path).held(interrupts):
                pass


def test_the_addresses_are_announced_only_while_it_is_up(tmp_path: Path) -> None:
    home = Home(tmp_path)
    addresses = Addresses(os.getpid(), "http://127.0.0.1:1", "http://127.0.0.1:2", "/store")

    with home.announced(addresses):
        assert json.loads(home.state.read_text())["server_url"] == "http://127.0.0.1:1"

    assert not home.state.exists()


def test_keys_are_made_once_and_readable_by_their_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "secrets.json"

    keys = kept_keys(file)

    assert kept_keys(file) == keys
    assert file.stat().st_mode & 0o077 == 0
    assert kept_keys(tmp_path / "other.json") != keys


def test_a_home_that_can_t_be_made_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with Interrupts() as interrupts, pytest.raises(InvalidUsage, match="Not a directory"):
        Home(tmp_path / "file" / "home").held(interrupts).__enter__()
