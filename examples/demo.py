"""Show the main job: register three datasets, run one for a day, look at what it built.

`make demo` runs it. It starts `basecamp dev` in .basecamp/demo and stays up until Ctrl-C;
with --once it ends by itself, with exit status 0 only if the day's 842 flights are there.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parents[1]
PROJECT = REPOSITORY / "examples" / "flights"
WAREHOUSE = PROJECT / "warehouse.duckdb"
HOME = REPOSITORY / ".basecamp" / "demo"
AIRFLOW_ENV = REPOSITORY / ".basecamp" / "airflow-env"
BIN = Path(sys.executable).parent

DATASETS = ("flights.daily", "flights.carrier_delays", "flights.weekly_summary")
DATE = "2013-01-01"
FLIGHTS_THAT_DAY = 842

DAY = """
select count(*) as flights, sum(distance) as miles, count(*) filter (where cancelled) as cancelled
from flights.daily where flight_date = $1
"""
FIRST_ROWS = """
select flight_date, carrier, flight_number, origin, destination, departure_delay, distance
from flights.daily where flight_date = $1 order by scheduled_at, carrier, flight_number limit 5
"""


class Failed(Exception):
    """A step did not do what the demo shows."""


def main() -> int:
    """Run the demo; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--once", action="store_true", help="end when all has been shown")
    once = parser.parse_args().once
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.default_int_handler)
    try:
        with basecamp_dev() as (process, addresses):
            show(Shell(addresses["server_url"]))
            tell_how_to_go_on(addresses)
            if not once:
                stay_up(process)
    except Failed as failed:
        say(f"The demo failed: {failed}")
        return 1
    except KeyboardInterrupt:
        return 0 if not once else 130
    return 0


@contextmanager
def basecamp_dev() -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    """Run `basecamp dev` around the demo; yield it with its addresses."""
    ports = ["--port", str(free_or_any(8800)), "--airflow-port", str(free_or_any(8080))]
    options = ["--home", str(HOME), "--airflow-env", str(AIRFLOW_ENV), *ports]
    title("A Basecamp with an Airflow of its own")
    # In a container the files often belong to another user, whose settings are not read without this.
    subprocess.run(
        [BIN / "dli", "config", "trust", "--path", PROJECT],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    print_command("basecamp", "dev", *options)
    process = subprocess.Popen([BIN / "basecamp", "dev", *options], cwd=PROJECT, start_new_session=True)
    try:
        yield process, addresses_of(process)
    finally:
        stop(process)


def addresses_of(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Wait until `basecamp dev` announces where it is reached."""
    state = HOME / "dev.json"
    while process.poll() is None:
        if state.exists():
            addresses: dict[str, Any] = json.loads(state.read_text())
            if addresses["pid"] == process.pid:
                return addresses
        time.sleep(0.2)
    raise Failed("basecamp dev did not start.")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End `basecamp dev`; a further Ctrl-C makes it hurry."""
    while process.poll() is None:
        try:
            process.terminate()
            process.wait()
        except KeyboardInterrupt:
            continue


def stay_up(process: subprocess.Popen[bytes]) -> None:
    """Wait until somebody presses Ctrl-C."""
    say("It stays up until Ctrl-C.")
    process.wait()
    raise Failed("basecamp dev ended.")


class Shell:
    """Runs commands as a person would type them, and shows them."""

    def __init__(self, server_url: str) -> None:
        self.environ = {**os.environ, "DLI_SERVER_URL": server_url}

    def dli(self, *arguments: str) -> str:
        """Run a `dli` command in the example's project, show it and what it prints; return that."""
        print_command("dli", *arguments)
        done = subprocess.run(
            [BIN / "dli", *arguments],
            cwd=PROJECT,
            env=self.environ,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        say(done.stdout)
        if done.returncode:
            raise Failed(f"dli {arguments[0]} {arguments[1]} ended with exit status {done.returncode}.")
        return done.stdout


def show(shell: Shell) -> None:
    """Do the main job in front of the reader's eyes."""
    title("Register three datasets")
    for name in DATASETS:
        shell.dli("dataset", "register", name)

    title(f"Run one of them, for {DATE}")
    run_id = shell.dli("workflow", "run", DATASETS[0], "-p", f"execution_date={DATE}").split()[-1]
    shell.dli("workflow", "status", run_id, "--wait")
    shell.dli("workflow", "list")
    shell.dli("workflow", "history")

    title(f"What it built: {WAREHOUSE.relative_to(REPOSITORY)}")
    with duckdb.connect(str(WAREHOUSE), read_only=True) as warehouse:
        say(str(warehouse.sql(FIRST_ROWS, params=[DATE])))
        say(str(warehouse.sql(DAY, params=[DATE])))
        found = warehouse.execute(DAY, [DATE]).fetchone()
    if found is None or found[0] != FLIGHTS_THAT_DAY:
        raise Failed(f"not the {FLIGHTS_THAT_DAY} flights of {DATE}.")


def tell_how_to_go_on(addresses: dict[str, Any]) -> None:
    """Print what to try next."""
    title("Go on")
    say(f"""\
Look at it:  {addresses["server_url"]}  (Basecamp's page)
             {addresses["airflow_url"]}  (Airflow's)

Try in another terminal:

  cd {PROJECT}
  export PATH={BIN}:$PATH DLI_SERVER_URL={addresses["server_url"]}
  dli workflow run flights.carrier_delays -p execution_date={DATE} --wait
  dli workflow run flights.daily -p execution_date={DATE} --dry-run
  dli workflow pause flights.daily
  dli workflow list

The datasets are in {PROJECT.relative_to(REPOSITORY)}/datasets; change one and register it again.
""")


def free_or_any(port: int) -> int:
    """Return a port if it is free, else 0, which takes any."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
    return port


def title(text: str) -> None:
    """Print what the next part is about."""
    say(bold(f"\n== {text} ==\n"))


def print_command(*words: str) -> None:
    """Print a command as a person would type it."""
    say(bold(f"$ {shlex.join(words)}"))


def bold(text: str) -> str:
    """Return a text that stands out on a terminal."""
    return f"\x1b[1m{text}\x1b[0m" if sys.stdout.isatty() else text


def say(text: str) -> None:
    """Print a text at once, in its order among what the commands print."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
