"""What datasets have built, by Airflow's Variables: only what has changed is read again."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from basecamp.airflow.gateway import AirflowGateway
from basecamp.datasets.upstream_needs import UpstreamNeeds
from basecamp.shared.clock import Clock
from dataspec.contract import BUILT_BEACON, BUILT_PREFIX, built_variable
from dataspec.schedule.beacon import built_since
from dataspec.schedule.built import Built

READ_EACH = 50
"""Up to this number of datasets are asked for one by one."""
READ_ALL_SECONDS = 300.0
"""How often everything is read again: an entry of the beacon may be lost."""


class BuiltValues:
    """Keeps what was built. For one thread at a time.

    Args:
        gateway: The Airflow that runs the datasets.
        needs: Reads single values.
        clock: The clock.
    """

    def __init__(self, gateway: AirflowGateway, needs: UpstreamNeeds, clock: Clock) -> None:
        self._gateway = gateway
        self._needs = needs
        self._clock = clock
        self._beacon: str | None = None
        self._read_at: float | None = None
        self._answered_at: float | None = None
        self._built: Mapping[str, Built] = {}

    @property
    def known(self) -> Mapping[str, Built]:
        """What was built, as it was known last."""
        return self._built

    @property
    def age(self) -> float | None:
        """Seconds since Airflow answered last; None if it never did."""
        return None if self._answered_at is None else self._clock.monotonic() - self._answered_at

    def read(self, names: Collection[str]) -> Mapping[str, Built]:
        """Return what datasets have built.

        Raises:
            AirflowUnreachable: When Airflow does not answer; :attr:`known` stays.
        """
        began = self._clock.monotonic()
        beacon = self._gateway.variable(BUILT_BEACON)
        changed = built_since(self._beacon, beacon) if beacon else None
        is_old = self._read_at is None or began - self._read_at > READ_ALL_SECONDS
        unread = set(names) if changed is None or is_old else {*changed, *(set(names) - self._built.keys())}
        found = self._values(unread & set(names))
        self._built = {name: found.get(name) or self._built[name] for name in names}
        self._beacon, self._answered_at = beacon, began
        if is_old or changed is None:
            self._read_at = began
        return self._built

    def _values(self, names: Collection[str]) -> Mapping[str, Built]:
        if len(names) <= READ_EACH:
            return self._needs.built(names)
        texts = self._gateway.variables(BUILT_PREFIX)
        return {name: Built.parse(texts.get(built_variable(name))).built for name in names}
