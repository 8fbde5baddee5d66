"""Turn the models, seeds and tests of a dbt project into Dataset Specs that ``validate`` accepts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataspec.isolation import restart_clock
from dataspec.parameters import EXECUTION_DATE
from dataspec.problems import Problem
from dataspec.spec.identity import DEFAULT_CONNECTION
from dli.dbt.graph import TableGraph
from dli.dbt.outcome import Dataset, Outcome
from dli.dbt.source.configuration import ProjectNames, configure, event_times, test_defaults
from dli.dbt.source.project import DbtProject
from dli.dbt.source.properties import Placed, UnreadableFile, read_yaml
from dli.dbt.source.seeds import seed_text
from dli.dbt.specs import SpecWriter, TurnedSpec, is_by_partition
from dli.dbt.sql.macros import Macros
from dli.dbt.sql.renderer import Renderer
from dli.dbt.sql.shared_macros import SharedMacros
from dli.dbt.sql.templates import Translated, Translator
from dli.dbt.sql.values import NotKnown, Target
from dli.dbt.testing.checks import CheckTurner, add_check, constraint_checks, tests_of
from dli.dbt.testing.singular_tests import turn_singular_tests
from dli.dbt.testing.source_tests import turn_source_tests
from dli.dbt.testing.unit_tests import turn_unit_tests

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dli.dbt.outcome import Choices
    from dli.dbt.source.manifest import Manifest
    from dli.dbt.source.project import Node
    from dli.dbt.testing.checks import Test, TurnedCheck

DIALECTS = {"sqlserver": "tsql", "synapse": "fabric"}
"""The dialects of adapters whose names differ from sqlglot's."""


class Turning:
    """Turns one dbt project.

    Args:
        root: The folder with ``dbt_project.yml``.
        manifest: What dbt knows of it; may be empty.
        choices: What the user chose.
        connection_dialect: The dialect of the connection that the datasets get.
    """

    def __init__(
        self, root: Path, manifest: Manifest, choices: Choices, connection_dialect: str | None
    ) -> None:
        self.project = DbtProject(root)
        self._manifest = manifest
        adapter = manifest.adapter or _adapter_of(root) or connection_dialect or "duckdb"
        dialect = DIALECTS.get(adapter, adapter)
        self.dialect = None if dialect == connection_dialect else dialect
        schema = choices.schema or self.project.name
        sources = {**manifest.macros(), **self.project.macros} if manifest.adapter else self.project.macros
        self.names = ProjectNames(self.project, choices.variables)
        self.renderer = Renderer(
            Macros(sources, adapter, self.project.name), self.names, Target(adapter, schema, choices.target)
        )
        self.names.renderer = self.renderer
        configure(self.project, self.renderer, manifest, schema)
        self.names.event_times = event_times(self.project, self.names)
        own = {
            file: text
            for (package, file), text in self.project.macros.items()
            if package == self.project.name
        }
        self.shared = SharedMacros(own, self.renderer, dialect)
        self._translator = Translator(self.renderer, self.shared, dialect)
        self.writer = SpecWriter(self.project, self.renderer, choices.owner, self.dialect)
        self.checks = CheckTurner(self.renderer, test_defaults(self.project))
        self.graph = TableGraph()
        self._connection_dialect = connection_dialect
        self.outcome = Outcome(shared=self.shared, problems=[*self.project.problems, *self._broken_macros()])

    def _broken_macros(self) -> Iterator[Problem]:
        for file, (line, reason) in self.renderer.macros.broken.items():
            yield Problem(f"the macros were not read: {reason}.", file, line, 1, severity="warning")

    def turn(self) -> Outcome:
        """Turn everything."""
        if self.dialect is not None:
            here = self._connection_dialect or "not defined"
            message = (
                f"the SQL is of {self.dialect}, and the connection '{DEFAULT_CONNECTION}' is {here} here."
            )
            hint = "Define it in dli.yaml before the datasets run."
            self.outcome.problems.append(self.project.root.settings.problem(message, hint))
        for node in self.project.nodes:
            if node.kind != "test" and self._is_enabled(node):
                restart_clock()
                self._turn_node(node)
        self.renderer.by_partition = False
        self._turn_tests()
        turn_source_tests(self)
        turn_singular_tests(self)
        turn_unit_tests(self)
        self._count_untold()
        own = {name for package, name in self.renderer.macros.called if package == self.project.name}
        self.outcome.called = {name for name in own if "__" not in name and not name.startswith("test_")}
        return self.outcome

    def _count_untold(self) -> None:
        """Note what has no counterpart, in one line for each kind and file."""
        by_place: dict[tuple[str, str], list[Placed]] = {}
        for kind, entry in self.project.untold:
            by_place.setdefault((kind, entry.file), []).append(entry)
        for (kind, _), several in by_place.items():
            title, names = kind.replace("_", " "), ", ".join(str(one.get("name")) for one in several)
            self.outcome.found[title] += len(several)
            self.outcome.lost[title] += len(several)
            message = f"{title} have no counterpart in a spec, so these were not turned: {names}."
            self.outcome.problems.append(several[0].problem(message))

    def _is_enabled(self, node: Node) -> bool:
        return node.config.get("enabled", True) is not False

    def _turn_node(self, node: Node) -> None:
        kind = f"{node.kind}s"
        self.outcome.found[kind] += 1
        turned, self.renderer.table = TurnedSpec(node), node.table
        try:
            dataset = self._seed(turned) if node.kind == "seed" else self._model(turned)
        except NotKnown as reason:
            self.outcome.lose(
                kind,
                node.problem(
                    f"the {node.kind} '{node.own_name}' was not turned: {reason}.", hint=self._hint()
                ),
            )
            return
        if (other := self.outcome.datasets.get(node.dataset)) is not None:
            self.outcome.lose(
                kind, node.problem(f"the name '{node.dataset}' is that of {other.node.file} too.")
            )
            return
        self.renderer.by_partition = False
        if is_by_partition(node):
            dataset.parameters = [{"name": EXECUTION_DATE, "type": "date"}]
        dataset.head, dataset.execution = self.writer.head(turned), self.writer.execution
        dataset.described = self.writer.columns(turned)
        hooks = {"pre_statements": "pre_hook", "post_statements": "post_hook"}
        dataset.statements = {key: self.writer.statements(turned, hook) for key, hook in hooks.items()}
        self.outcome.datasets[node.dataset] = dataset
        self.outcome.problems += turned.problems
        self.graph.add(node.table, dataset.translated.tables)

    def _hint(self) -> str | None:
        return (
            None
            if self._manifest.adapter
            else "With dbt's manifest more is known: dbt compile, then --manifest target/manifest.json"
        )

    def _model(self, turned: TurnedSpec) -> Dataset:
        node = turned.node
        if node.path.suffix == ".py":
            raise NotKnown("it is Python, and a dataset is SQL")
        materialization = self.writer.materialization(turned)
        self.renderer.config = dict(node.config)
        self.renderer.by_partition = is_by_partition(node)
        first, *ways = self._ways(node, incremental=node.config.get("materialized") == "incremental")
        return Dataset(turned=turned, translated=first, ways=ways, materialization=materialization)

    def _ways(self, node: Node, *, incremental: bool) -> Iterator[Translated]:
        reason: NotKnown | None = None
        try:
            yield from self._translator.ways(node.text, node.package.name, incremental=incremental)
        except NotKnown as error:
            reason = error
        if (compiled := self.compiled(node)) is not None:
            sql, tables = compiled
            yield Translated(sql=sql + "\n", tables=tables, note=_note(node, reason, incremental=incremental))
        elif reason is not None:
            raise reason

    def compiled(self, node: Node) -> tuple[str, tuple[str, ...]] | None:
        """Return the SQL that dbt compiled, with our names of tables, and these; None without a manifest."""
        sql = self._manifest.compiled(node.unique_id)
        if sql is None:
            return None
        tables = []
        for one in self.project.nodes:
            if (
                one.kind != "test"
                and (relation := self._manifest.relation(one.unique_id))
                and relation in sql
            ):
                sql = sql.replace(relation, one.table)
                tables.append(one.table)
        for (group, name), source in self.project.sources.items():
            key = f"source.{source.package.name}.{group}.{name}"
            if (relation := self._manifest.relation(key)) and relation in sql:
                table = self.names.source_table(source)
                sql = sql.replace(relation, table)
                tables.append(table)
        return sql.strip().rstrip(";"), tuple(tables)

    def _seed(self, turned: TurnedSpec) -> Dataset:
        node = turned.node
        text, header, is_empty = seed_text(node.text, str(node.config.get("delimiter") or ","))
        types = node.config.get("column_types") or {}
        own = "table" if node.table == node.dataset else {"type": "table", "table": node.table}
        dataset = Dataset(turned=turned, translated=Translated(sql=""), materialization=own)
        if is_empty:
            columns = [f"cast(null as {types.get(one, 'varchar')}) as {one}" for one in header]
            dataset.translated = Translated(sql=_select(columns, "where 1 = 0"))
            return dataset
        dataset.seed, dataset.seed_name = text, node.own_name.replace("-", "_")
        columns = [f"cast({one} as {types[one]}) as {one}" if one in types else one for one in header]
        from_seed = f"from {{{{ seed('{dataset.seed_name}') }}}}"
        dataset.translated = Translated(
            sql=_select(columns, from_seed) if types else f"select * {from_seed}\n"
        )
        return dataset

    def _turn_tests(self) -> None:
        for dataset in self.outcome.datasets.values():
            restart_clock()
            for check in constraint_checks(dataset.node.properties):
                add_check(dataset.checks, check)
            for test in tests_of(dataset.node.properties):
                if test.config.get("enabled", True) is not False:
                    self._turn_test(dataset, test)

    def _turn_test(self, dataset: Dataset, test: Test) -> None:
        self.outcome.found["tests"] += 1
        try:
            turned = self.checks.turn(test, dataset.node.package.name, dataset.node.table)
            self.add_check(dataset, turned)
        except NotKnown as reason:
            self.outcome.lose("tests", test.problem(str(reason)))

    def add_check(self, dataset: Dataset, turned: TurnedCheck) -> None:
        """Add a check to a dataset.

        Raises:
            NotKnown: When it reads a table that is built from the dataset.
        """
        own = dataset.node.table
        for table in turned.tables:
            if self.graph.is_built_from(table, own):
                raise NotKnown(f"it reads {table}, which is built from {own} later")
        add_check(dataset.checks, turned.check)
        self.graph.add(own, turned.tables)
        dataset.read |= dict.fromkeys(turned.tables)
        self.outcome.problems += turned.problems


def _note(node: Node, reason: NotKnown | None, *, incremental: bool) -> str | None:
    why = f": {reason}" if reason else ""
    if incremental and "is_incremental" in node.text:
        return f"the compiled SQL was taken, without what is_incremental() adds{why}."
    return f"the compiled SQL was taken{why}."


def _adapter_of(root: Path) -> str | None:
    """Return the adapter of a project with a ``profiles.yml`` of its own; only its type is read."""
    try:
        profiles = read_yaml(root / "profiles.yml")
    except UnreadableFile:
        return None
    for profile in profiles.values():
        outputs = profile.get("outputs") if isinstance(profile, Placed) else None
        for output in outputs.values() if isinstance(outputs, dict) else ():
            if isinstance(output, dict) and output.get("type"):
                return str(output["type"])
    return None


def _select(columns: list[str], rest: str) -> str:
    return "select\n    " + ",\n    ".join(columns) + f"\n{rest}\n"
