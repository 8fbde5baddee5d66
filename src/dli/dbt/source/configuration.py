"""Resolve what dbt_project.yml, the YAML files and ``config()`` say of a node, and name its table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from dli.dbt.source.properties import texts
from dli.dbt.sql.renderer import Names
from dli.dbt.sql.values import NotKnown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dli.dbt.source.manifest import Manifest
    from dli.dbt.source.project import DbtProject, Node, Source
    from dli.dbt.sql.renderer import Renderer

_CONFIG = re.compile(r"\{\{-?\s*config\s*\(.*?\)\s*-?\}\}", re.DOTALL)
_ADDED = {"tags", "pre-hook", "post-hook", "pre_hook", "post_hook"}
_MERGED = {"meta", "grants"}
_HOOKS = {"pre-hook": "pre_hook", "post-hook": "post_hook"}
_KINDS = {"model": "models", "seed": "seeds", "test": "tests"}
_NO_NAME = re.compile(r"[^A-Za-z0-9_\-]")


class ProjectNames(Names):
    """The tables and variables of a dbt project.

    Args:
        project: The project.
        variables: The variables of the command line.
    """

    def __init__(self, project: DbtProject, variables: Mapping[str, Any]) -> None:
        self._project = project
        self._given = variables
        self._nodes: dict[tuple[str, str], list[Node]] = {}
        for node in project.nodes:
            if node.kind != "test":
                self._nodes.setdefault((node.package.name, node.name), []).append(node)
                self._nodes.setdefault(("", node.name), []).append(node)
        self.renderer: Renderer | None = None
        self.event_times = {}

    def node(self, package: str, name: str, version: str | None = None) -> Node | None:
        """Return the model or seed that ``ref()`` means; None if there is none that is enabled."""
        found = [node for node in self._nodes.get((package, name), ()) if node.config.get("enabled", True)]
        if version is None and len(found) > 1:
            version = str(found[0].properties.get("latest_version") or max(node.version for node in found))
        return next((node for node in found if version is None or node.version in {version, ""}), None)

    def table_of(self, package: str, name: str, version: str | None) -> str:
        """Return the table of a model or seed."""
        node = self.node(package, name, version)
        if node is None:
            raise NotKnown(f"there is no model or seed '{name}' that is enabled")
        return node.table

    def source(self, name: str, table: str) -> str:
        """Return the table of a source."""
        found = self._project.sources.get((name, table))
        if found is None:
            raise NotKnown(f"there is no source '{name}.{table}'")
        return self.source_table(found)

    def source_table(self, source: Source) -> str:
        """Return a source's table; without its catalog where that is in dbt's profile."""
        group, entry = source.group, source.entry
        parts = [
            group.get("database") or group.get("catalog"),
            group.get("schema", group.get("name")),
            entry.get("identifier", entry.get("name")),
        ]
        return ".".join(
            part for part in (self._rendered(part, source.package.name) for part in parts) if part
        )

    def _rendered(self, text: Any, package: str) -> str:
        if text is None or self.renderer is None:
            return ""
        try:
            return self.renderer.render(str(text), package=package).strip()
        except NotKnown as reason:
            if "target.database" in str(reason) or "target.project" in str(reason):
                return ""
            raise

    def var(self, name: str, package: str) -> Any:
        """Return a variable."""
        own = next((one for one in self._project.packages if one.name == package), self._project.root)
        of_root, of_package = (one.settings.get("vars") or {} for one in (self._project.root, own))
        scopes = (
            self._given,
            of_root.get(package),
            {key: value for key, value in of_root.items() if not isinstance(value, dict)},
            of_package.get(package),
            of_package,
        )
        for scope in scopes:
            if isinstance(scope, dict) and name in scope:
                return scope[name]
        raise KeyError(name)


def event_times(project: DbtProject, names: ProjectNames) -> dict[str, str]:
    """Return the column with the time of a row, by table, of the models and sources that name one."""
    found = {node.table: node.config.get("event_time") for node in project.nodes}
    for source in project.sources.values():
        config = {**(source.group.get("config") or {}), **(source.entry.get("config") or {})}
        found[names.source_table(source)] = config.get("event_time")
    return {table: str(column) for table, column in found.items() if column}


def configure(project: DbtProject, renderer: Renderer, manifest: Manifest, schema: str) -> None:
    """Resolve the configuration of each node, and name its table and its dataset.

    Args:
        project: The project.
        renderer: Renders values that are templates.
        manifest: The configurations as dbt resolved them, where it has them.
        schema: The schema of models that name none.
    """
    for node in project.nodes:
        node.config = _config_of(node, project, renderer)
        resolved = manifest.config(node.unique_id)
        node.config |= {_HOOKS.get(key, key): value for key, value in resolved.items()}
        name = str(node.config.get("alias") or node.own_name)
        own = str(node.config.get("schema") or schema)
        catalog = node.config.get("database")
        parts = [str(catalog)] if catalog else []
        node.table = ".".join(_NO_NAME.sub("_", part.strip()) for part in (*parts, own, name))
        node.dataset = ".".join(_NO_NAME.sub("_", part.strip()) for part in (*parts, own, node.own_name))


def _config_of(node: Node, project: DbtProject, renderer: Renderer) -> dict[str, Any]:
    found: dict[str, Any] = {}
    packages = [node.package] if node.package is project.root else [node.package, project.root]
    for package in packages:
        tree = package.settings.get(_KINDS[node.kind])
        path = (node.package.name, *node.path.relative_to(node.folder).parent.parts, node.path.stem)
        for level in _levels(tree, path):
            _merge(found, {key: _value(value, key, node, renderer) for key, value in level.items()})
    version: Mapping[str, Any] = next(
        (one for one in node.properties.get("versions") or () if str(one.get("v")) == node.version), {}
    )
    for entry in (node.properties, version):
        own = {key: entry[key] for key in ("tags", "meta", "access", "group") if key in entry}
        for level in (own, entry.get("config") or {}):
            _merge(found, {key: _value(value, key, node, renderer) for key, value in level.items()})
    for match in _CONFIG.finditer(node.text) if node.path.suffix == ".sql" else ():
        renderer.config = {}
        try:
            renderer.render(match[0], package=node.package.name)
        except NotKnown as reason:
            line = node.text.count("\n", 0, match.start()) + 1
            project.problems.append(node.problem(f"config() can't be read: {reason}.", line=line))
        _merge(found, renderer.config)
    return found


def test_defaults(project: DbtProject) -> dict[str, Any]:
    """Return what dbt_project.yml says of all tests of the project."""
    settings = project.root.settings
    found: dict[str, Any] = {}
    for level in _levels(settings.get("data_tests", settings.get("tests")), (project.name,)):
        _merge(found, level)
    return found


def _levels(tree: Any, path: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the settings of each folder on the way to a node, outer ones first."""
    found: list[dict[str, Any]] = []
    for part in (None, *path):
        tree = tree if part is None else tree.get(part)
        if not isinstance(tree, dict):
            break
        found.append(
            {
                key.removeprefix("+"): value
                for key, value in tree.items()
                if key.startswith("+") or not isinstance(value, dict)
            }
        )
    return found


def _value(value: Any, key: str, node: Node, renderer: Renderer) -> Any:
    """Return a value of a configuration, rendered unless it is a hook."""
    if isinstance(value, dict):
        return {name: _value(one, key, node, renderer) for name, one in value.items()}
    if isinstance(value, list) and key not in _ADDED:
        return [_value(one, key, node, renderer) for one in value]
    if not isinstance(value, str) or "{" not in value or "hook" in key:
        return value
    try:
        text = renderer.render(value, package=node.package.name).strip()
    except NotKnown:
        return None
    return {"true": True, "false": False, "none": None}.get(text.lower(), text)


def _merge(found: dict[str, Any], level: Mapping[str, Any]) -> None:
    for given, value in level.items():
        key = _HOOKS.get(given, given)
        if key == "tags":
            found[key] = [*found.get(key, []), *texts(value)]
        elif given in _ADDED:
            found[key] = [*found.get(key, []), *(value if isinstance(value, list) else [value])]
        elif key in _MERGED and isinstance(value, dict):
            found[key] = {**found.get(key, {}), **value}
        else:
            found[key] = value
