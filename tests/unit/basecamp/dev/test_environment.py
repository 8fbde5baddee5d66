import json
import sys
import threading
from dataclasses import replace
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import pytest

from basecamp.dev.airflow_environment import (
    AirflowEnvironment,
    Origin,
    interpreter_for,
    origin_of,
    running_origin,
)
from basecamp.dev.processes.interrupts import Interrupts
from basecamp.dev.release_lines import LINES, ReleaseLine
from dataspec.errors import InvalidUsage, Refused


class Install:
    """Does what uv would, as far as the environment looks at it."""

    def __init__(self, environment: AirflowEnvironment) -> None:
        self.environment = environment
        self.times = 0

    def __call__(self) -> None:
        self.times += 1
        self.environment.python.parent.mkdir(parents=True, exist_ok=True)
        self.environment.python.touch()


def environment(folder: Path, identity: str = "dli 1") -> AirflowEnvironment:
    return AirflowEnvironment(folder / "airflow-env", Origin(("dli==1",), identity), patience=0.2)


@pytest.mark.rule("28.1")
def test_airflow_is_installed_once(tmp_path: Path) -> None:
    made = environment(tmp_path)
    install = Install(made)

    with Interrupts() as interrupts:
        for _ in range(2):
            with made.ready(install, interrupts):
                assert made.complete

    assert install.times == 1


def test_another_dli_has_airflow_installed_anew(tmp_path: Path) -> None:
    old, new = environment(tmp_path), environment(tmp_path, "dli 2")
    install = Install(new)

    with Interrupts() as interrupts:
        with old.ready(Install(old), interrupts):
            pass
        with new.ready(install, interrupts):
            assert new.complete

    assert install.times == 1


def test_an_installation_that_was_cut_off_is_done_again(tmp_path: Path) -> None:
    made = environment(tmp_path)

    def cut_off() -> None:
        Install(made)()
        raise KeyboardInterrupt

    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt):
            made.ready(cut_off, interrupts).__enter__()
        install = Install(made)
        with made.ready(install, interrupts):
            assert install.times == 1


def test_who_comes_while_another_installs_waits_and_uses_that(tmp_path: Path) -> None:
    first, second = environment(tmp_path), environment(tmp_path)
    installing, go_on = threading.Event(), threading.Event()

    def slowly() -> None:
        installing.set()
        go_on.wait()
        Install(first)()

    def start_first() -> None:
        with first.ready(slowly, interrupts):
            pass

    with Interrupts() as interrupts:
        thread = threading.Thread(target=start_first)
        thread.start()
        installing.wait()
        threading.Timer(0.5, go_on.set).start()
        late = Install(second)
        with second.ready(late, interrupts):
            assert late.times == 0
        thread.join()


def test_an_environment_in_use_is_shared_and_not_made_anew_under_its_user(tmp_path: Path) -> None:
    using, same, other = environment(tmp_path), environment(tmp_path), environment(tmp_path, "dli 2")

    with Interrupts() as interrupts, using.ready(Install(using), interrupts):
        with same.ready(Install(same), interrupts):
            pass
        with pytest.raises(Refused, match="another basecamp dev uses it"):
            other.ready(Install(other), interrupts).__enter__()


def test_a_line_that_the_running_python_is_too_new_for_gets_an_older_one_from_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    major, minor = sys.version_info[:2]
    line = ReleaseLine("2.11", "/health", python_before=(major, minor + 1))
    monkeypatch.setenv("PATH", f"{sys.base_prefix}/bin")

    found = interpreter_for(line, running=(major, minor + 1))

    assert Path(found.program).is_relative_to(sys.base_prefix)
    assert found == replace(interpreter_for(line), program=found.program)


def test_a_line_that_no_python_here_runs_is_refused() -> None:
    line = ReleaseLine("2.11", "/health", python_before=(3, 11))  # dli itself needs as much

    with pytest.raises(InvalidUsage) as refused:
        interpreter_for(line, running=(3, 13))

    assert refused.value.title == "Airflow 2.11 does not run on Python 3.13."
    assert "install a Python from 3.11 up to, but not including, 3.11" in str(refused.value.detail)


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_the_lock_file_names_no_host_and_has_a_hash_for_all(line: ReleaseLine) -> None:
    lock = line.lock_file.read_text()

    assert "://" not in lock
    assert line.version.startswith(f"{line.name}.")
    pinned = [line for line in lock.splitlines() if "==" in line]
    assert all(line.endswith("\\") for line in pinned)


def test_airflow_runs_on_this_very_python(tmp_path: Path) -> None:
    (_, command), *_ = environment(tmp_path).commands()

    assert sys.executable in command
    assert "--no-python-downloads" in command


class Installed(Distribution):
    """A distribution as an installer leaves it."""

    def __init__(self, **files: str) -> None:
        self.files_by_name = {name.replace("__", "."): text for name, text in files.items()}
        self.files_by_name["METADATA"] = "Name: dli-basecamp\nVersion: 1.2\n"

    def read_text(self, filename: str) -> str | None:
        return self.files_by_name.get(filename)

    def locate_file(self, path: Any) -> Any:
        raise NotImplementedError


def test_from_an_index_the_same_version_is_installed() -> None:
    assert origin_of(Installed(RECORD="a,b")).requirement == ("dli-basecamp==1.2",)


def test_an_editable_one_is_the_same_source_and_grows_old_with_its_metadata(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]")
    url = json.dumps({"url": tmp_path.as_uri(), "dir_info": {"editable": True}})
    origin = origin_of(Installed(direct_url__json=url))

    assert origin.requirement == ("--editable", str(tmp_path))
    (tmp_path / "pyproject.toml").write_text("[project] # changed")
    assert origin_of(Installed(direct_url__json=url)).identity != origin.identity


@pytest.mark.parametrize(
    ("recorded", "requirement"),
    [
        ({"url": "file:///src/dli", "dir_info": {}}, "dli-basecamp @ file:///src/dli"),
        ({"url": "file:///x/dli.whl", "archive_info": {}}, "dli-basecamp @ file:///x/dli.whl"),
        (
            {"url": "https://h/r.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "dli-basecamp @ git+https://h/r.git@abc",
        ),
    ],
)
def test_one_from_elsewhere_is_installed_from_there(recorded: dict[str, Any], requirement: str) -> None:
    origin = origin_of(Installed(direct_url__json=json.dumps(recorded), RECORD="one"))

    assert origin.requirement == (requirement,)
    again = origin_of(Installed(direct_url__json=json.dumps(recorded), RECORD="another build"))
    assert again.identity != origin.identity


def test_the_running_dli_is_found() -> None:
    assert running_origin().requirement
