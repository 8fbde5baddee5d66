"""One run: clients at work, trouble, then rest, and a look at what is left."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import partial

from basecamp.backfills.plans import ACTIVE_PREFIX
from basecamp.notifications.outbox import PREFIX as OUTBOX
from basecamp.notifications.outbox import OutboxEntry
from chaos.clients import LEAVING, NAMES, PAUSED, Clients
from chaos.director import Director
from chaos.faults import HELD_SECONDS, Network
from chaos.model import Facts, Model
from chaos.replicas import NEW, Replica, Version
from chaos.world import SYNC_SECONDS, World
from dataspec.catalog.ledger import LEDGER_KEY, Ledger
from dataspec.catalog.version_archive import KeptVersions
from dataspec.models import SourceType
from dataspec.store.base import MISSING

CLIENTS = 10
PHASES = 5
"""Old, old and new, new, new and old, old."""
SETTLE_SECONDS = 600.0
AGREE_SECONDS = 120.0
GROWTH_MEGABYTES = 60.0
GROWTH_FILES = 100
WARM_UP_SHARE = 0.25
"""The share of the time after which a replica's memory and files should grow no more."""
NEWER_FORMAT_SECONDS = 2.5 * SYNC_SECONDS
STATES = ("/api/v1/workflows", "/api/v1/datasets", "/api/v1/runs?limit=100", "/api/v1/backfills?limit=100")
"""What all replicas must show alike."""


class Run:
    """One run of the program: the world, its clients, and what is found.

    Attributes:
        broken: What is broken, by promise.
        older: What the older version does, which is not this version's fault.
        checked: How many cases of each promise were checked.
    """

    def __init__(self, there: World, networks: Sequence[Network], seed: int) -> None:
        self.there = there
        self.networks = networks
        self.director = Director(there, networks, seed)
        self.clients = Clients(seed, CLIENTS, there.replicas, f"{there.receiver.url}/hook")
        self.broken: dict[str, list[str]] = defaultdict(list)
        self.older: dict[str, list[str]] = defaultdict(list)
        self.checked: Counter[str] = Counter()

    def chaos(self, minutes: float) -> None:
        """Let clients work through faults and deaths, and check what is left."""
        self.clients.begin()
        self.director.trouble(minutes * 60)
        self._check()
        self._check_growth(self.there.replicas[0])
        self._hold("no replica ends by itself", self.director.counted.total(), self.director.ended)

    def versions(self, old: Version, minutes: float) -> None:
        """Upgrade the replicas one after the other, and downgrade them again, while clients work."""
        phase = minutes * 60 / PHASES
        self.clients.begin()
        self.director.rest(phase)
        for version in (NEW, old):
            self.director.roll(version, phase)
            self.director.rest(phase)
            self._check_good_versions(version)
            self._check_answers()
        self._check()
        self._check_newer_format(old)
        self.director.roll(NEW, 0)
        self._check_newer_format(NEW)

    def _check(self) -> None:
        """End the clients' work, let what they began come to its end, and check every promise."""
        self.clients.end()
        time.sleep(HELD_SECONDS)  # what the networks hold back arrives
        paused = self.there.is_paused(PAUSED)
        self.there.unpause(PAUSED)
        _wait(self._is_settled, SETTLE_SECONDS)
        model = Model(self.clients.requests, self._facts(paused=paused))
        model.check()
        self.checked += model.checked
        for promise, found in model.broken.items():
            self.broken[promise] += found
        self._check_answers()
        self._check_agreement()
        self._check_logs()
        self._check_internal_errors()

    def _hold(self, promise: str, checked: int, broken: Sequence[str], version: str = NEW.name) -> None:
        """Count what was checked and what is broken; what an older version breaks is not this version's fault."""
        named = promise if version == NEW.name else f"{promise} (the {version} version)"
        self.checked[named] += checked
        if broken:
            (self.broken if version == NEW.name else self.older)[named] += broken

    def _is_settled(self) -> bool:
        """Say whether nothing is left to do: no run, no backfill, no notification."""
        return (
            not self.there.store_keys(ACTIVE_PREFIX)
            and not self._undelivered()
            and all(run.state in {"success", "failed"} for run in self.there.runs())
        )

    def _undelivered(self) -> list[str]:
        stored = (self.there.store.get(key) for key in self.there.store_keys(OUTBOX))
        entries = [OutboxEntry.read(found) for found in stored if found]
        return [entry.notification.id for entry in entries if entry.sent_at is None]

    def _facts(self, *, paused: bool) -> Facts:
        store, replica = self.there.store, self.there.replicas[0]
        specs = {name: store.get(f"manual/{name}.yaml") for name in NAMES}
        known = [asked.answer.backfill_id for asked in self.clients.done("backfill")]
        return Facts(
            specs={name: found.body.decode() if found else None for name, found in specs.items()},
            writes=[write for way in self.networks for write in way.writes],
            runs=self.there.runs(),
            executions=self.there.executions(),
            backfills={name: self.there.get(replica, f"/api/v1/backfills/{name}").json() for name in known},
            paused=paused,
            undelivered=self._undelivered(),
            told=self.there.told(),
        )

    def _check_answers(self) -> None:
        """Hold that every replica answers, soon."""
        for path in ("/healthz", "/readyz", "/", *STATES):
            for replica in self.there.replicas:
                answers = _wait(partial(self._answers, replica, path), AGREE_SECONDS)
                self._hold(
                    "every replica answers", 1, [] if answers else [f"replica {replica.number}: {path}"]
                )

    def _answers(self, replica: Replica, path: str) -> bool:
        return not self.there.get(replica, path).is_error

    def _check_agreement(self) -> None:
        """Hold that all replicas show the same, soon."""
        for path in STATES:
            agree = _wait(partial(self._agree, path), AGREE_SECONDS)
            self._hold("all replicas show the same", 1, [] if agree else [path])

    def _agree(self, path: str) -> bool:
        return len({self.there.get(replica, path).text for replica in self.there.replicas}) == 1

    def _check_good_versions(self, version: Version) -> None:
        """Hold that the ledger names a good version of each dataset, and that it is there."""
        stored = self.there.store.get(LEDGER_KEY)
        entries = Ledger.read(stored).entries if stored else {}
        for name in set(NAMES) - {LEAVING}:
            kept = entries[name].versions.get(SourceType.MANUAL) if name in entries else None
            there = kept and KeptVersions(self.there.store).release(kept.spec_hash)
            wrong = [f"after the change to the {version.name} version: {name}"]
            self._hold("the ledger keeps each last good version", 1, [] if there else wrong)

    def _check_newer_format(self, version: Version) -> None:
        """Hold that a ledger of a newer format stays as it is; whether it does with the older version."""
        store = self.there.store
        before = store.get(LEDGER_KEY)
        newer = store.put(LEDGER_KEY, b'{"format": 99}', expected=before.etag if before else MISSING)
        self.director.rest(NEWER_FORMAT_SECONDS)
        after = store.get(LEDGER_KEY)
        replaced = after is None or after.etag != newer
        wrong = ["the ledger was replaced"] if replaced else []
        self._hold("a ledger of a newer format stays as it is", 1, wrong, version.name)

    def _check_internal_errors(self) -> None:
        for version in {
            replica.version.name for replica in self.there.replicas
        } | self.clients.problems.keys():
            found = self.clients.problems[version]
            self._hold("no answer is an internal error", len(self.clients.requests), found, version)

    def _check_logs(self) -> None:
        for replica in self.there.replicas:
            for version, lines in replica.logged():
                found = [f"replica {replica.number}: {line}" for line in lines if "Traceback" in line]
                self._hold("no log has a traceback", len(lines), found, version)

    def _check_growth(self, replica: Replica) -> None:
        """Hold that memory and files of a replica that was never killed grow no more after its first minutes."""
        replica.sample()
        samples = replica.samples
        early, last = samples[int(len(samples) * WARM_UP_SHARE)], samples[-1]
        told = (
            f"{early.megabytes:.0f} → {last.megabytes:.0f} MB, {early.files} → {last.files} files, "
            f"in {(last.at - early.at) / 60:.0f} minutes"
        )
        grew = last.megabytes - early.megabytes > GROWTH_MEGABYTES or last.files - early.files > GROWTH_FILES
        self._hold(f"memory and files don't grow ({told})", len(samples), [told] if grew else [])


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until something holds; say whether it does."""
    deadline = time.monotonic() + seconds
    while not (holds := condition()) and time.monotonic() < deadline:
        time.sleep(1)
    return holds
