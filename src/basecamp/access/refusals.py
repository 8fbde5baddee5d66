"""The words of refusals: who the caller is, which role is needed, and who can help."""

from __future__ import annotations

from collections.abc import Sequence

from basecamp.access.principal import Grant, Principal, Role
from dataspec.errors import Forbidden, Unauthorized

NEXT_STEP = "Sign in with: dli login. A program sends an API token: set DLI_TOKEN."
ASK = "An admin of this server can give you the role."


def not_signed_in() -> Unauthorized:
    """Return the error for a request without credentials."""
    return Unauthorized("This server requires sign-in.", detail=NEXT_STEP)


def invalid_token(reason: str = "It is unknown, expired or revoked.") -> Unauthorized:
    """Return the error for a token that is not valid, with the reason as a sentence."""
    return Unauthorized("The token is not valid.", detail=f"{reason} {NEXT_STEP}", invalid_token=True)


def role_needed(
    caller: Principal, role: Role, *, team: str | None = None, everywhere: bool = False
) -> Forbidden:
    """Return the error for a role that is too low.

    Args:
        caller: The caller.
        role: The role that the request needs.
        team: The team of the dataset; None if it has none, or is not known.
        everywhere: Whether the role must be for all datasets, as for a dataset without a team.
    """
    datasets = f" for the datasets of {team}" if team else " for all datasets" if everywhere else ""
    return Forbidden(f"This needs the role {role.label}{datasets}.", detail=f"{described(caller)} {ASK}")


def spec_role_needed(caller: Principal, role: Role, team: str | None) -> Forbidden:
    """Return the error for a spec from a request whose team the caller's role is not for."""
    if team is not None:
        return role_needed(caller, role, team=team)
    return Forbidden(
        f"A spec without a team needs the role {role.label} for all datasets.",
        detail=f"{described(caller)} Set 'team' in the spec. {ASK}",
    )


def not_of_your_teams(caller: Principal, role: Role, kind: str, name: str) -> Forbidden:
    """Return the error for a thing that the caller does not see; it does not tell whether the thing exists."""
    teams = caller.teams_for(role) or caller.teams_for(Role.VIEWER) or frozenset()
    return Forbidden(
        f"'{name}' is not a {kind} of your teams {_listed(sorted(teams))}.",
        detail=f"{described(caller)} {ASK}",
    )


def described(caller: Principal) -> str:
    """Return the caller's name and roles in a sentence."""
    grants = sorted(caller.grants, key=lambda grant: grant.role)
    return f"You are {caller.name}: {_listed([_grant(grant) for grant in grants], last='and') or 'without a role'}."


def _grant(grant: Grant) -> str:
    return f"{grant.role.label} for {'all datasets' if grant.teams is None else _listed(sorted(grant.teams))}"


def _listed(words: Sequence[str], *, last: str = "or") -> str:
    *first, end = words or [""]
    return f"{', '.join(first)} {last} {end}" if first else end
