"""A dataset as the mirror keeps it: a usable spec, its SQL and its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from dataspec.catalog.cache import spec_to_json
from dataspec.catalog.effective import SpecFile
from dataspec.models import SourceType
from dataspec.schedule.needs import Upstream
from dataspec.schedule.partitions import Grid
from dataspec.spec.model import DatasetSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamFacts:
    """What the needs of a run depend on, of a dataset in ``depends_on``."""

    cron: str | None = None
    """None for an upstream without a schedule, or that is not registered."""
    zone: str = "UTC"
    catches_up: bool = False
    """Whether its schedule builds each partition, also those that it missed."""
    registered_at: str | None = None
    """ISO text; None for an upstream that is not registered."""

    @classmethod
    def of(cls, spec: DatasetSpec | None, registered_at: datetime | None) -> UpstreamFacts:
        """Return the facts of an upstream dataset; None for one that is not registered."""
        grid = Grid.of(spec.schedule if spec else None)
        since = registered_at.isoformat() if registered_at else None
        catches_up = spec is not None and spec.schedule is not None and spec.schedule.catch_up
        return cls(cron=grid.cron, zone=grid.zone, catches_up=catches_up, registered_at=since)

    @property
    def clock(self) -> str:
        """Which partitions it has, as text."""
        return f"{self.cron} {self.zone} {self.catches_up}"

    @property
    def upstream(self) -> Upstream:
        """The upstream, for :func:`dataspec.schedule.needs.need_of`."""
        since = datetime.fromisoformat(self.registered_at) if self.registered_at else None
        return Upstream(Grid(self.cron, self.zone), since)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """One effective spec."""

    name: str
    source: SourceType
    key: str
    """The YAML's key in the store."""
    spec_hash: str
    registered_at: datetime
    """When the name appeared after it had been in neither source. Changes of the spec, source or schedule
    keep it. No run is due for a tick before it; scheduled runs before it belong to a removed dataset of this
    name."""
    spec: DatasetSpec
    files: Mapping[str, str] = field(repr=False)
    """The text of each SQL file, by the path that the spec names it with."""
    no_clock: str | None = None
    """Why it has no clock, of a dataset that follows its upstream datasets."""
    retired: bool = False
    """Whether the dataset was removed from all sources. Its DAG stays, unscheduled, until its runs have ended."""
    upstreams: Mapping[str, UpstreamFacts] = field(default_factory=dict)
    """The datasets that its spec depends on: a worker reads no other dataset."""

    @classmethod
    def of(
        cls,
        file: SpecFile,
        *,
        since: datetime | None = None,
        retired: bool = False,
        upstreams: Mapping[str, UpstreamFacts] | None = None,
    ) -> Dataset:
        """Return the dataset of a usable spec file.

        Args:
            file: The spec.
            since: When its name was registered; defaults to the file's modification time.
            retired: Whether it was removed from all sources.
            upstreams: The datasets that it depends on.

        Raises:
            ValueError: When the file can't be used.
        """
        if file.spec is None or file.spec_hash is None:
            raise ValueError(f"{file.key} can't be used")
        return cls(
            name=file.spec.name,
            source=file.source,
            key=file.key,
            spec_hash=file.spec_hash,
            registered_at=since or file.last_modified,
            spec=file.spec,
            files=dict(file.files),
            no_clock=file.no_clock,
            retired=retired,
            upstreams=upstreams or {},
        )

    @property
    def version(self) -> str:
        """Identifies the content of the dataset, with the clocks of its upstream datasets."""
        facts = [self.name, self.source, self.key, self.spec_hash, self.registered_at.isoformat()]
        if self.spec.schedule is not None and self.spec.schedule.follows_upstream:
            facts.append(str(self.spec.schedule.clock or self.no_clock))
        facts += (f"{name} {upstream}" for name, upstream in sorted(self.upstreams.items()))
        return " ".join([*facts, "retired"] if self.retired else facts)

    def to_json(self) -> dict[str, Any]:
        """Return the dataset as JSON for :meth:`from_json`."""
        return {
            "name": self.name,
            "source": self.source.value,
            "key": self.key,
            "spec_hash": self.spec_hash,
            "registered_at": self.registered_at.isoformat(),
            "retired": self.retired,
            "follows_upstream": self.spec.follows_upstream,
            "no_clock": self.no_clock,
            "spec": spec_to_json(self.spec),
            "files": dict(self.files),
            "upstreams": {name: asdict(facts) for name, facts in self.upstreams.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Dataset:
        """Return the dataset that :meth:`to_json` wrote.

        Raises:
            ValueError: When the mirror could not write it; with the reason.
        """
        if "broken" in data:
            raise ValueError(data["broken"])
        return cls(
            name=data["name"],
            source=SourceType(data["source"]),
            key=data["key"],
            spec_hash=data["spec_hash"],
            registered_at=datetime.fromisoformat(data["registered_at"]),
            retired=data.get("retired", False),
            no_clock=data.get("no_clock"),
            spec=_spec_of(data),
            files=data["files"],
            upstreams={name: UpstreamFacts(**facts) for name, facts in data.get("upstreams", {}).items()},
        )


def _spec_of(data: Mapping[str, Any]) -> DatasetSpec:
    spec = DatasetSpec.model_validate(data["spec"])
    clock = spec.schedule and spec.schedule.clock
    return spec.with_clock(clock) if data.get("follows_upstream") and clock else spec
