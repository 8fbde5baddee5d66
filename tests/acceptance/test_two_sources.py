"""The story of the two sources (specification 4.1): code wins, the manual file is kept, and takes over again.

On a real Airflow and a real S3 server, with three servers over one store, a pipeline that
publishes from Git, and a Slack that counts.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from integration.basecamp.test_serve import Serve
from lines_here import on_airflow_3
from receivers import SLACK_TOKEN, Slack
from s3 import S3
from stacks import REPOSITORY, Dev, Stack

NAME = "iceberg.analytics.daily_clicks"
CHANNEL = "#data-alerts"
SYNC_SECONDS = 5

YAML = f"""\
# {{comment}}
name: {NAME}
type: Dataset
owner: engineer@example.com
query_file: daily_clicks.sql
pre_statements:
  - name: table
    sql: create table if not exists clicks (version text, built_at timestamptz)
schedule:
  cron: "{{cron}}"
  timezone: Asia/Seoul
  retry:
    max_attempts: 0
  notifications:
    on_source_change:
      - type: slack
        channel: "{CHANNEL}"
"""


CODE_CRON, MANUAL_CRON = "0 9 * * *", "0 8 * * *"

[README] = re.findall(
    r"^```console\n(.*?)^```", (REPOSITORY / "README.md").read_text(), re.DOTALL | re.MULTILINE
)
"""What the front page shows of the story."""

OTHER = """\
name: platform.heartbeat
type: Dataset
owner: engineer@example.com
query_statement: select 1
"""

PROJECT = """\
name: clicks
connections:
  dli_default:
    url: duckdb:///warehouse.duckdb
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """Three servers over one store and one Airflow, an analyst's folder, and a repository in Git."""

    replicas: tuple[Stack, ...]
    slack: Slack
    s3: S3
    repository: Path

    @property
    def analyst(self) -> Stack:
        return self.replicas[0]

    def publish(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Do what the pipeline does with a commit."""
        project = replace(self.analyst, project=self.repository)
        credentials: dict[str, Any] = dict(self.s3.environ)
        return project.cli("code", "publish", *options, "--store", self.s3.url, **credentials)

    def session(self, *commands: str) -> str:
        """Return what a terminal shows of commands: the analyst's, and the pipeline's."""
        shown = []
        for command in commands:
            arguments = shlex.split(command)[1:]
            publishes = arguments[:2] == ["code", "publish"]
            done = self.publish(*arguments[2:]) if publishes else self.analyst.program(*arguments)
            assert done.returncode == 0, done.stderr
            shown += [f"$ {command}", done.stdout.rstrip()]
        return "\n".join(shown)

    def commit(self, message: str) -> str:
        """Commit what is in the repository; return the commit."""
        for arguments in (["add", "--all"], ["commit", "-m", message, "--allow-empty"]):
            self.git(*arguments)
        return self.git("rev-parse", "HEAD")

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=CI", "-c", "user.email=ci@example.com"]
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=self.repository, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def listed(self, replica: Stack | None = None) -> list[list[str]]:
        """Return the rows of `dli workflow list` without their heads and the last run."""
        done = (replica or self.analyst).cli("workflow", "list", "-d", NAME)
        assert done.returncode == 0, done.stderr
        return [re.split(" {2,}", line)[:5] for line in done.stdout.splitlines()[1:]]

    def has_rows(self, number: int, replica: Stack) -> bool:
        """Say whether a replica lists so many rows; what it knows of the store is two seconds old at most."""
        return len(self.listed(replica)) == number

    def shows(self, row: list[str], replica: Stack) -> bool:
        """Say whether a replica lists this row alone; a pause by way of another replica takes up to 30 s to show."""
        return self.listed(replica) == [row]

    def run(self) -> dict[str, Any]:
        """Run the dataset; return the finished run."""
        return self.analyst.wait(self.analyst.run(NAME))

    def built(self) -> list[str]:
        """Return which versions built the table, in order."""
        return [row[0] for row in self.analyst.rows("select version from clicks order by built_at")]

    def loaded(self, source: str) -> bool:
        """Say whether Airflow has the effective spec, of this source."""
        found = self.analyst.ask("dataset", "show", NAME, "--registered")
        return bool(found["source_type"] == source and found["loaded"])


def until(condition: Callable[[], object], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(1)


def write(folder: Path, version: str, cron: str) -> None:
    """Write the dataset into a project."""
    (folder / "datasets").mkdir(parents=True, exist_ok=True)
    (folder / "datasets" / "daily_clicks.yaml").write_text(YAML.format(comment=f"by {version}", cron=cron))
    (folder / "datasets" / "daily_clicks.sql").write_text(f"insert into clicks values ('{version}', now())\n")


@pytest.fixture(scope="module")
def company(
    airflow_env: Path,
    s3_session: S3,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Company]:
    folder = tmp_path_factory.mktemp("company")
    analyst, repository = folder / "analyst", folder / "repository"
    write(analyst, "manual", MANUAL_CRON)
    for project in (analyst, repository):
        (project / "datasets").mkdir(parents=True, exist_ok=True)
        (project / "dli.yaml").write_text(PROJECT)
    (repository / "datasets" / "heartbeat.yaml").write_text(OTHER)
    with ExitStack() as stack:
        slack = stack.enter_context(Slack())
        s3 = stack.enter_context(s3_session.fresh())
        environ = {
            **s3.environ,
            "SYNC_INTERVAL_SECONDS": str(SYNC_SECONDS),
            "BASECAMP_SLACK_TOKEN": SLACK_TOKEN,
            "BASECAMP_SLACK_API_URL": slack.api_url,
        }
        dev = stack.enter_context(Dev(folder / "home", airflow_env, analyst, "--store", s3.url, **environ))
        first = Stack(home=dev.home, project=analyst, **dev.ready())
        settings = environ | {
            "BASECAMP_STORE_URL": s3.url,
            "BASECAMP_AIRFLOW_URL": first.airflow_url,
            "BASECAMP_AIRFLOW_AUTH": "none",
        }
        others = [Serve(settings, folder / f"replica-{number}") for number in (2, 3)]
        for other in others:
            stack.callback(other.process.wait)
            stack.callback(other.process.terminate)
        replicas = (first, *(replace(first, server_url=other.url()) for other in others))
        company = Company(replicas=replicas, slack=slack, s3=s3, repository=repository)
        company.git("init", "--quiet", "--initial-branch", "main")
        assert company.publish().returncode == 0
        yield company


@on_airflow_3
@pytest.mark.rule("4.1")
def test_code_takes_over_and_gives_back_and_everybody_is_told_once(company: Company) -> None:
    analyst = company.analyst

    # An analyst registers a dataset by hand.
    register, publish, workflows = commands_of(README)
    shown = [company.session(register)]
    [[name, source, status, cron, _]] = company.listed()
    assert (name, source, status, cron) == (NAME, "manual", "active", "0 8 * * *")
    first = company.run()
    assert (first["status"], first["source_type"]) == ("COMPLETED", "manual")

    # The platform team puts the same name into Git.
    write(company.repository, "code", CODE_CRON)
    commit = company.commit("Take over daily_clicks")
    shown.append(company.session(publish))
    until(partial(company.has_rows, 2, analyst))
    until(lambda: "COMPLETED" in analyst.cli("workflow", "list", "-d", NAME).stdout)
    shown.append(company.session(workflows))
    assert plain("\n".join(shown)) == plain(README)
    for replica in company.replicas:
        until(partial(company.has_rows, 2, replica))
        code, manual = company.listed(replica)
        assert code[:4] == [NAME, "code", "active", "0 9 * * *"]
        assert manual == [NAME, "manual", "overridden", "0 8 * * *", "- (overridden by code)"]
    until(lambda: company.loaded("code"))
    second = company.run()
    assert (second["status"], second["source_type"]) == ("COMPLETED", "code")
    assert analyst.cli("workflow", "run", NAME, "--source", "manual").returncode == 4

    # Slack is told once, whatever number of servers there are.
    until(lambda: company.slack.count(CHANNEL, NAME) == 1)
    told = company.slack.messages[-1].text
    assert "manual" in told
    assert "code" in told
    assert commit[:7] in told

    # A person pauses the dataset; that belongs to the dataset, not to a source.
    assert analyst.cli("workflow", "pause", NAME).returncode == 0

    # The file leaves Git again.
    for file in ("daily_clicks.yaml", "daily_clicks.sql"):
        (company.repository / "datasets" / file).unlink()
    commit = company.commit("Give daily_clicks back")
    assert company.publish().returncode == 4, "half of code/ would go"
    published = company.publish("--yes")
    assert published.returncode == 0, published.stderr
    for replica in company.replicas:
        until(partial(company.shows, [NAME, "manual", "paused", "0 8 * * *", "-"], replica))
    assert analyst.cli("workflow", "unpause", NAME).returncode == 0
    until(lambda: company.loaded("manual"))
    third = company.run()
    assert (third["status"], third["source_type"]) == ("COMPLETED", "manual")
    assert third["spec_hash"] == first["spec_hash"]

    # One dataset, one history; and the table was built by what was effective each time.
    history = analyst.ask("workflow", "history", "-d", NAME)
    assert [run["run_id"] for run in history] == [run["run_id"] for run in (third, second, first)]
    assert company.built() == ["manual", "code", "manual"]
    until(lambda: company.slack.count(CHANNEL, NAME) == 2)
    assert commit[:7] in company.slack.messages[-1].text
    stays_so(lambda: company.slack.count(CHANNEL, NAME) == 2, seconds=3 * SYNC_SECONDS)
    assert company.slack.refused == 0


def commands_of(session: str) -> list[str]:
    """Return the commands of a terminal session."""
    return [line.removeprefix("$ ") for line in session.splitlines() if line.startswith("$ ")]


def plain(session: str) -> list[str]:
    """Return the lines of a session, without what differs from one day to the next."""
    return [re.sub(r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d)?", "DATE", line) for line in session.splitlines()]


def stays_so(condition: Callable[[], bool], seconds: float) -> None:
    """Watch that nothing more comes while every server has had its turn."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert condition()
        time.sleep(1)
