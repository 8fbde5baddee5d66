"""``--select``, ``--exclude`` and ``--changed``, by the command that shows best what they select: ``graph``."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from unit.dli.conftest import Dli


def put(project: Path, place: str, sql: str = "select 1", more: str = "", name: str | None = None) -> None:
    path = project / "datasets" / f"{place}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    name = name or path.stem
    head = f"name: {name}\ntype: Dataset\nowner: dana@example.com\n"
    path.write_text(f"{head}query_statement: {json.dumps(sql)}\n{more}")


@pytest.fixture
def shop(project: Path) -> Path:
    """raw → lines → sums → report, and two apart from them."""
    put(project, "hourly/s.raw", "create table s.raw as select 1 as n", "tags: [hourly, core]\n")
    put(project, "hourly/s.lines", "create table s.lines as select * from s.raw", "tags: [hourly]\n")
    put(project, "s.sums", "create table s.sums as select * from s.lines", "depends_on: [s.lines]\n")
    put(project, "r.report", "create table r.report as select * from s.sums", "tags: [daily]\n")
    put(project, "r.alone", "create table r.alone as select 2 as n", "tags: [core]\n")
    put(project, "x", "create table x as select 3 as n")
    return project


def selected(dli: Dli, *arguments: str) -> set[str]:
    result = dli("dataset", "graph", "-f", "json", *arguments)
    assert result.status == 0, result.err
    return {dataset["name"] for dataset in json.loads(result.out)["datasets"]}


@pytest.mark.rule("22.41")
@pytest.mark.parametrize(
    ("words", "names"),
    {
        ("-s", "x"): "x",
        ("--select", "s.*"): "s.lines s.raw s.sums",
        ("--select", "?.r*"): "r.report s.raw",
        ("--select", "+s.sums"): "s.raw s.lines s.sums",
        ("--select", "s.sums+"): "s.sums r.report",
        ("--select", "+s.sums+"): "s.raw s.lines s.sums r.report",
        ("--select", "1+s.sums"): "s.lines s.sums",
        ("--select", "2+r.report"): "s.lines s.sums r.report",
        ("--select", "s.raw+2"): "s.raw s.lines s.sums",
        ("--select", "1+s.lines+1"): "s.raw s.lines s.sums",
        ("--select", "tag:core"): "s.raw r.alone",
        ("--select", "tag:h*"): "s.raw s.lines",
        ("--select", "tag:hourly+"): "s.raw s.lines s.sums r.report",
        ("--select", "path:datasets/hourly"): "s.raw s.lines",
        ("--select", "path:./datasets/hourly/"): "s.raw s.lines",
        ("--select", "+path:datasets/s.sums.yaml"): "s.raw s.lines s.sums",
        ("--select", "datasets/x.yaml"): "x",
        ("--select", "path:datasets/hourly/s.l*"): "s.lines",
        ("--select", "x", "--select", "tag:daily"): "x r.report",
        ("--select", "x", "tag:daily", "s.raw"): "x r.report s.raw",
        ("--select", "tag:hourly,tag:core"): "s.raw",
        ("--select", "s.raw+,+r.report", "x"): "s.raw s.lines s.sums r.report x",
        ("--exclude", "tag:hourly", "r.*"): "s.sums x",
        ("--select", "+r.report", "--exclude", "tag:hourly"): "s.sums r.report",
        ("--select", "s.raw+", "--exclude", "s.sums+"): "s.raw s.lines",
    }.items(),
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_each_word_selects(dli: Dli, shop: Path, words: tuple[str, ...], names: str) -> None:
    assert selected(dli, *words) == set(names.split())


@pytest.mark.rule("22.41")
def test_a_path_is_relative_to_the_current_folder_or_to_the_project(
    dli: Dli, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shop / "dli.yaml").touch()
    monkeypatch.chdir(shop / "datasets")
    assert selected(dli, "--select", "path:hourly") == {"s.raw", "s.lines"}
    assert selected(dli, "--select", "path:datasets/hourly") == {"s.raw", "s.lines"}
    monkeypatch.chdir(shop.parent)
    assert selected(dli, "--path", str(shop), "--select", "path:datasets/hourly") == {"s.raw", "s.lines"}


@pytest.mark.rule("22.41")
def test_a_path_is_also_that_of_a_sql_file(dli: Dli, shop: Path) -> None:
    (shop / "datasets" / "q").mkdir()
    (shop / "datasets" / "q" / "q.sql").write_text("select 1")
    head = "name: q\ntype: Dataset\nowner: dana@example.com\n"
    (shop / "datasets" / "q.yaml").write_text(f"{head}query_file: q/q.sql\n")
    assert selected(dli, "--select", "path:datasets/q/q.sql") == {"q"}


@pytest.mark.rule("22.42")
@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("--select", "s.line"), 3, "No dataset of this project matches 's.line'.\n       Did you mean 's.lines'?"),
        (("--select", "t.*"), 3, "Did you mean 's.*'?"),
        (("--select", "x", "--select", "+gone"), 3, "No dataset of this project matches 'gone'."),
        (("--select", "tag:houry"), 3, "has the tag 'houry'.\n       Did you mean 'hourly'?"),
        (("--select", "tag:zzz"), 3, "Known tags: core, daily, hourly."),
        (("--select", "path:datasets/hurly"), 3, "Did you mean 'datasets/hourly'?"),
        (("--select", "tags:hourly"), 2, "Unknown method 'tags:' in the selection 'tags:hourly'.\n       Did you mean 'tag'?"),
        (("--exclude", "owner:x"), 2, "Known are a name, tag:TAG and path:PATH."),
        (("--exclude", "s.line"), 3, "Did you mean 's.lines'?"),
        (("--select", "tag:"), 2, "The selection 'tag:' names no dataset."),
        (("--select", ""), 2, "The selection '' names no dataset."),
        (("--select", "+"), 2, "The selection '+' names no dataset."),
        (("--select", "tag:daily,tag:hourly"), 3, "No dataset fits all of 'tag:daily,tag:hourly'."),
        (("--select", "x", "--exclude", "x"), 3, "No dataset is left: --exclude leaves out all that are selected."),
        (("x", "--select", "x"), 2, "Give either a DATASET or a selection."),
    ],
)  # fmt: skip
def test_a_selection_that_means_nothing_is_refused_with_what_was_meant(
    dli: Dli, shop: Path, words: tuple[str, ...], status: int, said: str
) -> None:
    for command in ("graph", "validate"):
        result = dli("dataset", command, *words)
        assert (result.status, result.out) == (status, "")
        assert said.replace("a DATASET", "names" if command == "validate" else "a DATASET") in result.err


def test_the_words_end_at_the_next_option(dli: Dli, shop: Path) -> None:
    found = dli("dataset", "validate", "--select", "x", "s.raw", "--format", "json", "--exclude", "x")
    assert [spec["name"] for spec in json.loads(found.out)] == ["s.raw"]


@pytest.mark.rule("22.41")
def test_validate_reports_the_selected_specs_alone_and_broken_ones_as_well(dli: Dli, shop: Path) -> None:
    put(shop, "hourly/bad", "select 1", "onwer: 1\ntags: [hourly]\n", name="s.bad")
    (shop / "datasets" / "unreadable.yaml").write_text("type: Dataset\nname: [\n")
    good = dli("dataset", "validate", "--select", "+r.report", "--format", "json")
    assert (good.status, {spec["valid"] for spec in json.loads(good.out)}) == (0, {True})
    for words in (["tag:hourly"], ["path:datasets/hourly"], ["s.bad"]):
        bad = dli("dataset", "validate", "--select", *words)
        assert (bad.status, "datasets/hourly/bad.yaml:5:1" in bad.err) == (2, True)
        assert "unreadable" not in bad.err
    assert "unreadable.yaml" in dli("dataset", "validate", "--exclude", "tag:hourly").err


def git(folder: Path, *arguments: str) -> str:
    names = {
        f"GIT_{who}_{what}": "d@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    environ = {**os.environ, **names, "GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(["git", "-C", str(folder), *arguments], env=environ, capture_output=True, text=True, check=True)  # fmt: skip
    return done.stdout.strip()


def commit(folder: Path, message: str = "Change") -> None:
    git(folder, "add", "-A", ".")
    git(folder, "commit", "-q", "-m", message)


@pytest.fixture
def repository(shop: Path) -> Path:
    """The shop in a folder of a repository that holds other things too."""
    git(shop.parent, "init", "-q", "-b", "main")
    (shop.parent / ".gitignore").write_text("home/\nignored/\n")
    commit(shop.parent)
    return shop


@pytest.mark.rule("22.43")
def test_what_is_not_committed_and_not_tracked_counts_as_changed_with_what_is_downstream(
    dli: Dli, repository: Path
) -> None:
    assert dli("dataset", "validate", "--changed").err == "No selected dataset differs from HEAD.\n"
    assert dli("dataset", "validate", "--changed", "-f", "json").out == "[]\n"
    assert dli("dataset", "graph", "--changed").out == ""
    put(repository, "s.sums", "create table s.sums as select n from s.lines", "depends_on: [s.lines]\n")
    assert selected(dli, "--changed") == {"s.sums", "r.report"}
    git(repository, "add", "-A")
    assert selected(dli, "--changed", "main") == {"s.sums", "r.report"}
    put(repository, "new one/n", "create table n as select * from x")
    assert selected(dli, "--changed") == {"s.sums", "r.report", "n"}
    commit(repository)
    assert dli("dataset", "validate", "--changed").err == "No selected dataset differs from HEAD.\n"
    assert selected(dli, "--changed", "HEAD~1") == {"s.sums", "r.report", "n"}
    assert selected(dli, "--changed", "HEAD~1", "--select", "r.*", "n") == {"r.report", "n"}
    assert selected(dli, "--changed", "HEAD~1", "--exclude", "r.report") == {"s.sums", "n"}


@pytest.mark.rule("22.43")
def test_a_sql_file_counts_as_its_dataset_does(dli: Dli, repository: Path) -> None:
    head = "name: q\ntype: Dataset\nowner: dana@example.com\n"
    (repository / "datasets" / "q.yaml").write_text(f"{head}query_file: sql/ü q.sql\n")
    (repository / "datasets" / "sql").mkdir()
    sql = repository / "datasets" / "sql" / "ü q.sql"
    sql.write_text("create table q as select * from x")
    commit(repository)
    sql.write_text("create table q as select n from x")
    assert selected(dli, "--changed") == {"q"}
    sql.unlink()
    assert selected(dli, "--changed") == {"q"}
    assert dli("dataset", "validate", "--changed").status == 2


@pytest.mark.rule("22.43")
def test_a_macro_file_counts_as_the_datasets_that_use_it(dli: Dli, repository: Path) -> None:
    macros = repository / "macros"
    macros.mkdir()
    (macros / "a.sql").write_text("{% import 'macros/b.sql' as b %}{% macro a() %}{{ b.b() }}{% endmacro %}")
    (macros / "b.sql").write_text("{% macro b() %}x{% endmacro %}")
    put(repository, "q", "{% import 'macros/a.sql' as m %}create table q as select {{ m.a() }} from x")
    commit(repository)
    assert dli("dataset", "validate", "--changed").err == "No selected dataset differs from HEAD.\n"
    (macros / "b.sql").write_text("{% macro b() %}y{% endmacro %}")
    assert selected(dli, "--changed") == {"q"}
    (macros / "b.sql").unlink()
    assert selected(dli, "--changed") == {"q"}


@pytest.mark.rule("22.41", "22.43")
def test_macros_and_seeds_count_for_each_dataset_that_uses_them(dli: Dli, repository: Path) -> None:
    macro, seed = repository / "macros" / "n.sql", repository / "seeds" / "codes.csv"
    for file, text in ((macro, "{% macro two() %}2{% endmacro %}"), (seed, "code,n\nKR,1\n")):
        file.parent.mkdir()
        file.write_text(text)
    put(repository, "m", "{% import 'macros/n.sql' as n %}\ncreate table m as select {{ n.two() }} as n")
    put(repository, "c", "create table c as select * from {{ seed('codes') }}")
    commit(repository)
    assert selected(dli, "--select", "path:macros/n.sql") == {"m"}
    assert selected(dli, "--select", "path:seeds") == {"c"}
    macro.write_text("{% macro two() %}3{% endmacro %}")
    assert selected(dli, "--changed") == {"m"}
    seed.write_text("code,n\nKR,2\n")
    assert selected(dli, "--changed") == {"m", "c"}


@pytest.mark.rule("22.43")
def test_what_needs_a_dataset_that_is_gone_or_has_another_name_counts_as_changed(
    dli: Dli, repository: Path
) -> None:
    (repository / "datasets" / "s.sums.yaml").unlink()
    assert selected(dli, "--changed") == {"r.report"}
    git(repository, "checkout", "-q", ".")
    (repository / "datasets" / "hourly" / "s.lines.yaml").rename(repository / "datasets" / "moved.yaml")
    assert selected(dli, "--changed") == {"s.lines", "s.sums", "r.report"}
    put(repository, "moved", "create table other as select 1 as n", name="other")
    assert selected(dli, "--changed") == {"other", "s.sums", "r.report"}


@pytest.mark.rule("22.43")
def test_a_project_behind_a_link_and_settings_of_git_change_nothing(
    dli: Dli, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = repository.parent / "home" / "link"
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(repository)
    git(repository, "config", "diff.relative", "true")
    git(repository, "config", "diff.noprefix", "true")
    put(repository, "x", "create table x as select 4 as n")
    monkeypatch.chdir(link)
    assert selected(dli, "--changed") == {"x"}
    monkeypatch.chdir(repository.parent)
    assert selected(dli, "--path", "home/link", "--changed") == {"x"}


@pytest.mark.rule("22.43")
def test_git_that_can_not_compare_is_told_clearly(
    dli: Dli, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(shop.parent))
    outside = dli("dataset", "validate", "--changed")
    assert outside.status == 2
    assert "--changed needs a Git repository, and . is in none that Git can read." in outside.err
    git(shop, "init", "-q", "-b", "main")
    assert "The repository has no commit yet." in dli("dataset", "validate", "--changed").err
    commit(shop)
    unknown = dli("dataset", "validate", "--changed", "mian")
    assert unknown.status == 2
    assert "--changed: Git does not know 'mian' here.\n       Did you mean 'main'?" in unknown.err
    assert "Git does not know 'main..HEAD' here." in dli("dataset", "validate", "--changed", "main..HEAD").err
    monkeypatch.setenv("PATH", str(shop))
    assert "--changed needs Git." in dli("dataset", "validate", "--changed").err


@pytest.mark.rule("22.43")
def test_a_shallow_clone_says_how_to_fetch_what_it_lacks(
    dli: Dli, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(repository, "x", "create table x as select 4 as n")
    commit(repository)
    clone = tmp_path / "home" / "clone"
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository.parent}", str(clone))
    monkeypatch.chdir(clone / repository.name)
    put(Path(), "x", "create table x as select 5 as n")
    assert selected(dli, "--changed") == {"x"}
    lacking = dli("dataset", "validate", "--changed", "HEAD~1")
    assert (lacking.status, "this clone is shallow and does not have 'HEAD~1'." in lacking.err) == (2, True)
    assert "git fetch --unshallow" in lacking.err
