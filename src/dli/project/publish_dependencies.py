"""Look at what depends on what among the datasets that a publish leaves (specification 32.15, 32.16, 32.28)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dataspec.errors import InvalidSpec, StoreUnreachable
from dataspec.project.dependents import broken_dependents, unknown_upstream
from dataspec.project.graph import DatasetGraph, GraphDataset, as_path
from dataspec.schedule.upstream_clock import NoClock, upstream_clocks
from dataspec.spec.parse import parse_spec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from dataspec.spec.model import DatasetSpec
    from dataspec.store import Store
    from dli.project.publish_plan import Change, PublishPlan

NOT_READ = "It is not known whether manual datasets depend on what changes: {} can't be read."


@dataclass(frozen=True, slots=True)
class EffectOnOthers:
    """What a publish does to datasets beside those that it changes."""

    warnings: tuple[str, ...] = ()
    consent: tuple[str, ...] = ()
    """The reasons to ask."""


@dataclass(frozen=True, slots=True)
class _Manual:
    """The manual specs that may depend on what a publish changes."""

    specs: Mapping[str, DatasetSpec] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    """A warning if some can't be read."""


def effect_on_others(store: Store, plan: PublishPlan) -> EffectOnOthers:
    """Return what a publish does to the datasets around: what needs consent, and what it only warns of.

    The manual specs are read only if the plan has a change that may leave a dataset without what it waits for.
    """
    manual = _read_manual(store, plan) if any(map(_may_break, plan.changes)) else _Manual()
    own, left = plan.names, list(_left_waiting(plan, manual.specs))
    return EffectOnOthers(
        warnings=(*manual.unread, *_lost_dependencies(plan), *(text for name, text in left if name in own)),
        consent=(*_needed_removals(plan, manual.specs), *(text for name, text in left if name not in own)),
    )


def _lost_dependencies(plan: PublishPlan) -> Iterator[str]:
    """Yield a warning for each dataset that depends on an unknown one, and for each cycle and lost clock."""
    specs = _specs(plan)
    known = {**specs, **dict.fromkeys(plan.manual), **dict.fromkeys(_kept(plan))}
    for name, spec in specs.items():
        for other in unknown_upstream(spec, known):
            yield f"'{name}' depends on '{other}', which neither the project nor the store has."
    for cycle in DatasetGraph(GraphDataset(name, spec.upstream) for name, spec in specs.items()).cycles():
        yield f"These datasets depend on each other, so no scheduled run of them can start: {as_path(cycle)}."
    for name, clock in upstream_clocks({name: spec.declared_clock for name, spec in specs.items()}).items():
        if isinstance(clock, NoClock) and not clock.unknown:
            yield f"The schedule '@upstream' of '{name}' gives no clock: {clock.reason}."


def _needed_removals(plan: PublishPlan, manual: Mapping[str, DatasetSpec]) -> Iterator[str]:
    """Yield a reason to ask for each dataset that would be removed, and that others depend on."""
    after = {**manual, **_specs(plan)}
    for name in _gone(plan):
        needing = [other for other, spec in after.items() if name in spec.upstream]
        if needing:
            yield f"'{name}' would be removed, and {_listed(needing)} on it."


def _left_waiting(plan: PublishPlan, manual: Mapping[str, DatasetSpec]) -> Iterator[tuple[str, str]]:
    """Yield each dataset that a changed schedule leaves without what it waits for, with a sentence that says so."""
    after = {**manual, **_specs(plan)}
    before = {**after, **manual, **_published_specs(plan)}
    for change in filter(_may_break, plan.changes):
        if change.name is None or change.name not in after:
            continue
        for broken in broken_dependents(change.name, before, after):
            yield (
                broken.name,
                f"The schedule of '{change.name}' would change, and '{broken.name}' {broken.reason}.",
            )


def _may_break(change: Change) -> bool:
    """Return whether a change may leave a dataset without what it waits for."""
    keys = change.changed_keys
    return (
        change.action in {"remove", "move"}
        or change.overrides_manual
        or any(key == "YAML" or key.partition(".")[0] == "schedule" for key in keys)
    )


def _gone(plan: PublishPlan) -> list[str]:
    """Return the names of the datasets that a publish leaves without any spec."""
    own = plan.names
    names = [change.name for change in plan.changes if change.action == "remove" and change.name]
    return [name for name in names if name not in own and name not in plan.manual]


def _specs(plan: PublishPlan) -> dict[str, DatasetSpec]:
    checked = (dataset.spec for dataset in plan.wanted.values())
    return {spec.name: spec for spec in checked if spec is not None}


def _published_specs(plan: PublishPlan) -> dict[str, DatasetSpec]:
    """Return the published specs that differ from the project's, without those that can't be used."""
    return _parsed((spec.key, spec.yaml) for spec in plan.published.datasets if spec.yaml is not None)


def _kept(plan: PublishPlan) -> list[str]:
    """Return the names of published datasets that stay although the project does not have them."""
    removed = {spec.key for spec in plan.removed}
    return [spec.name for spec in plan.published.datasets if spec.name and spec.key not in removed]


def _read_manual(store: Store, plan: PublishPlan) -> _Manual:
    """Read the manual specs with ``depends_on``, and those that they name."""
    try:
        found = store.get_many(plan.manual.values())
    except StoreUnreachable:
        return _Manual(unread=(NOT_READ.format("manual/"),))
    unread = (NOT_READ.format(", ".join(sorted(found.unreadable))),) if found.unreadable else ()
    dependent = _parsed((key, stored.body) for key, stored in found.items() if b"depends_on" in stored.body)
    upstream = {name for spec in dependent.values() for name in spec.upstream} - dependent.keys()
    keys = [plan.manual[name] for name in upstream & plan.manual.keys()]
    return _Manual(dependent | _parsed((key, found[key].body) for key in keys if key in found), unread)


def _parsed(bodies: Iterable[tuple[str, bytes]]) -> dict[str, DatasetSpec]:
    """Return the usable ones among some YAML files, by name."""
    specs = {}
    for key, body in bodies:
        try:
            spec = parse_spec(body, file=key)
        except InvalidSpec:
            continue  # validate and the server say what is wrong with it
        specs[spec.name] = spec
    return specs


def _listed(names: list[str]) -> str:
    quoted = [f"'{name}'" for name in names]
    return f"{quoted[0]} depends" if len(quoted) == 1 else f"{', '.join(quoted)} depend"
