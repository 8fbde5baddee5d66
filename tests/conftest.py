"""What tests share: the Airflow environment, a running `basecamp dev`, and no skips in CI."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings

from basecamp.dev.airflow_environment import AirflowEnvironment, running_origin
from basecamp.dev.processes.interrupts import Interrupts
from basecamp.dev.release_lines import ReleaseLine
from lines_here import LEFT_OUT, LINES_HERE
from mariadb import MariaDB, mariadb_server
from postgres import Postgres, postgres_server
from s3 import S3, s3_server
from stacks import REPOSITORY, Dev, Stack, copy_of_flights

AIRFLOW_ENVS = REPOSITORY / ".basecamp"
SEED = 1
"""Of the order of the tests, and of the random numbers of each."""

LONGEST_ID = 200
"""Maximum number of characters of a parameter in a test's id."""

# No property is about time, which a busy machine lacks.
settings.register_profile("timeless", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("suite", settings.get_profile("timeless"), derandomize=True, database=None)
settings.register_profile(
    "explore", settings.get_profile("timeless"), derandomize=False, max_examples=1000, print_blob=True
)
settings.load_profile("suite")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name long text by a digest: pytest puts a test's id into the environment, where a program can't start with it."""
    if isinstance(val, str | bytes) and len(val) > LONGEST_ID:
        body = val if isinstance(val, bytes) else val.encode(errors="surrogatepass")
        return f"{argname}-{hashlib.sha256(body).hexdigest()[:8]}"
    return None


def pytest_report_header() -> list[str]:
    """Name the tests that this machine can't run."""
    return LEFT_OUT


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name them at the end as well, where a person looks."""
    for line in LEFT_OUT:
        terminalreporter.write_line(line, yellow=True)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Fix the seed, unless one is given or chance is asked for (`make explore`)."""
    exploring = config.getoption("--hypothesis-profile", None) == "explore"
    if config.getoption("randomly_seed", None) == "default" and not exploring:
        config.option.randomly_seed = SEED
    _hear_signals()


def _hear_signals() -> None:
    """Hear the signals that a shell's `&` and nohup start a program with ignored; so do its children then."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


PARTS = ("stack", "airflow_env")
"""The fixtures that start something for a whole session; tests that share one run in one process."""
SERVERS = {"stack", "s3_session"}
"""Those of them that run until they are ended."""
ORDER = ("stack", "airflow_env", "s3_session", "distribution", "bombs", "engines")
"""The longest first, so that none is left over for one process alone."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let the tests of each part go one after the other, in the process that started it.

    Here, for xdist looks at the marks before a conftest can do so for all tests together.
    """
    if (name := part_of(item)) and not item.get_closest_marker("xdist_group"):
        item.add_marker(pytest.mark.xdist_group(name))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests of the parts, and end with the many that are over at once."""
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    kind = (part_of(item) or "").partition(" ")[0]
    return ORDER.index(kind) if kind in ORDER else len(ORDER)


def part_of(item: pytest.Item) -> str | None:
    """Return the name of what a test shares with others: the group that it is marked with, else its Airflow or S3 server."""
    if marked := item.get_closest_marker("xdist_group"):
        return str(marked.args[0])
    used = getattr(item, "fixturenames", ())
    call = getattr(item, "callspec", None)
    parameters = call.params if call else {}
    if "s3_session" in used or "s3" in parameters.values():
        return "s3_session"
    line = parameters.get("line")
    name = next((name for name in PARTS if name in used), None)
    return f"{name or 'stack'} {line.name}" if isinstance(line, ReleaseLine) else name


@pytest.fixture(scope="session", params=list(LINES_HERE.values()), ids=list(LINES_HERE))
def line(request: pytest.FixtureRequest) -> ReleaseLine:
    """The line of Airflow that a test runs on: every test on a real Airflow does so on each that can run here."""
    found: ReleaseLine = request.param
    return found


@pytest.fixture(scope="session")
def airflow_env(line: ReleaseLine) -> Iterator[Path]:
    """An environment with Airflow and this `dli`, kept between sessions."""
    folder = AIRFLOW_ENVS / f"airflow-env{line.suffix}"
    environment = AirflowEnvironment(folder, running_origin(), line, patience=300)

    def install() -> None:
        for _, command in environment.commands():
            subprocess.run(command, check=True, capture_output=True)

    with ExitStack() as stack:
        with Interrupts() as interrupts:
            stack.enter_context(environment.ready(install, interrupts))
        yield folder


@pytest.fixture(scope="session")
def airflow_options(line: ReleaseLine, request: pytest.FixtureRequest) -> Callable[[], list[str]]:
    """What gives the options with which a new `basecamp dev` runs this line, on a database of its own."""

    def options() -> list[str]:
        if line.runs_on_sqlite:
            return ["--airflow", line.name]
        server: Postgres = request.getfixturevalue("postgres")
        return ["--airflow", line.name, "--airflow-database", server.fresh().url]

    return options


@pytest.fixture(scope="session")
def stack(
    line: ReleaseLine,
    airflow_env: Path,
    airflow_options: Callable[[], list[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """A `basecamp dev` with a fresh home, in a copy of the flights example."""
    folder = tmp_path_factory.mktemp("stack")
    project = copy_of_flights(folder)
    with Dev(folder / "home", airflow_env, project, *airflow_options()) as dev:
        addresses = dev.ready()
        yield Stack(home=dev.home, project=project, line=line, **addresses).with_daily()
        dev.kill()


@pytest.fixture(autouse=True)
def _nothing_left_running(request: pytest.FixtureRequest) -> Iterator[None]:
    """Stop what a failed test left running in the Airflow that others share, so that it fails alone."""
    stack: Stack | None = request.getfixturevalue("stack") if "stack" in request.fixturenames else None
    failed = request.session.testsfailed
    yield
    if stack is not None and request.session.testsfailed > failed:
        for status in ("PENDING", "RUNNING"):  # one that waits would begin when what it waits for is stopped
            for run in stack.ask("workflow", "history", "--status", status, "-n", "100"):
                stack.cli("workflow", "stop", run["run_id"])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: Any, nextitem: pytest.Item | None) -> Iterator[None]:
    """End a server after the last test that asks for it: an Airflow that idles takes a quarter of a core."""
    yield
    if (part := part_of(item)) and (nextitem is None or part_of(nextitem) != part):
        for name in SERVERS:
            # pytest itself ends what a session shares with the session.
            for fixture in item.session._fixturemanager.getfixturedefs(name, item) or ():
                fixture.finish(item._request)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server; each process of a session of tests starts its own, within two seconds."""
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """A MariaDB server; each process of a session of tests starts its own, within four seconds."""
    with mariadb_server() as server:
        yield server


@pytest.fixture(scope="session")
def s3_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """A place on a real S3 server, which is started by the first test that asks for it."""
    with s3_server(tmp_path_factory.mktemp("s3")) as place:
        yield place


@pytest.fixture
def s3(s3_session: S3) -> Iterator[S3]:
    """A place on a real S3 server that is this test's own: a store's address, and the variables for it."""
    with s3_session.fresh() as place:
        yield place


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return without_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return without_skip((yield))


R = TypeVar("R", pytest.TestReport, pytest.CollectReport)


def without_skip(report: R) -> R:
    """Make a skip a failure in CI, where all that tests need is there; one that fails as expected is none."""
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {report.longrepr}"
    return report
