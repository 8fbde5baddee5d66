"""How Basecamp shows Airflow who it is."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Everyone:
    """Nothing to show: the Airflow lets every request in."""


@dataclass(frozen=True, slots=True)
class Password:
    """A user of Airflow's, exchanged for a token at ``/auth/token``."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AirflowToken:
    """A token that was made elsewhere; Basecamp can't renew it."""

    token: str = field(repr=False)


Credentials = Everyone | Password | AirflowToken
