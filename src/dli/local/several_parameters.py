"""Complete the parameters of a run of several datasets: ask for them, or take yesterday (specification 23.13)."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from dataspec.errors import InvalidParameters, MissingParameter, UnknownParameter
from dataspec.parameters import EXECUTION_DATE
from dataspec.problems import nearest
from dataspec.spec.run_values import resolve_partition, with_absolute_date
from dli.session import say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dli.project.project import LocalDataset

_DEFAULT_DATE = "yesterday"
_NAMED = 3
"""The maximum number of datasets that a message names."""


def complete_parameters(
    datasets: Sequence[LocalDataset], given: Mapping[str, str], *, ask: bool
) -> dict[str, str]:
    """Return the parameters of a run, with those that are required and not given.

    Args:
        datasets: The datasets that will run.
        given: The parameters as the user gave them.
        ask: Whether to ask for each on the terminal, once for all datasets that take it. Otherwise yesterday is taken
            for ``execution_date``.

    Raises:
        UnknownParameter: When no dataset declares one that is given.
        MissingParameter: When others are missing, and the user can't be asked.
    """
    declared = {p.name: p.must_be_given for dataset in datasets for p in dataset.checked().parameters}
    for name in given:
        if name not in declared:
            raise UnknownParameter(name, declared, hint=nearest(name, declared))
    missing = _takers(datasets, given)
    found = dict(given)
    if EXECUTION_DATE in missing and not ask:
        say(f"{EXECUTION_DATE} is not given: {_DEFAULT_DATE} is taken.")
        found[EXECUTION_DATE] = _DEFAULT_DATE
        del missing[EXECUTION_DATE]
    if missing and not ask:
        raise _missing(missing)
    return found | {name: _ask(name, takers) for name, takers in missing.items()}


def _takers(
    datasets: Sequence[LocalDataset], given: Mapping[str, str]
) -> defaultdict[str, list[LocalDataset]]:
    """Return the datasets that need each parameter that is not given."""
    takers = defaultdict(list)
    for dataset in datasets:
        for parameter in dataset.checked().parameters:
            if parameter.must_be_given and parameter.name not in given:
                takers[parameter.name].append(dataset)
    return takers


def _missing(missing: Mapping[str, Sequence[LocalDataset]]) -> MissingParameter:
    error = MissingParameter(", ".join(missing))
    lines = [f"In: {_named(takers)}" for takers in missing.values()]
    error.detail = "\n".join(["Add: " + " ".join(f"-p {name}=VALUE" for name in missing), *lines])
    return error


def _named(datasets: Sequence[LocalDataset]) -> str:
    names = ", ".join(f"{dataset.name} ({dataset.file})" for dataset in datasets[:_NAMED])
    return names if len(datasets) <= _NAMED else f"{names} and {len(datasets) - _NAMED} more"


def _ask(name: str, takers: Sequence[LocalDataset]) -> str:
    """Ask for a parameter until every dataset that takes it accepts the value."""
    kinds = dict.fromkeys(
        parameter.type
        for dataset in takers
        for parameter in dataset.checked().parameters
        if parameter.name == name
    )
    say(f"{name} ({', '.join(kinds)}), for {_named(takers)}")

    def accepted(text: str) -> str:
        for dataset in takers:
            _check(dataset, name, text)
        return text

    default = _DEFAULT_DATE if name == EXECUTION_DATE else None
    answer: str = click.prompt(name, default=default, value_proc=accepted, err=True)
    return answer


def _check(dataset: LocalDataset, name: str, text: str) -> None:
    spec = dataset.checked()
    parameter = next(parameter for parameter in spec.parameters if parameter.name == name)
    try:
        if name == EXECUTION_DATE:
            given = with_absolute_date(spec, {name: text}, datetime.now(UTC))
            resolve_partition(spec, given[name], None)
        else:
            parameter.value(text)
    except InvalidParameters as error:
        reason = "\n".join(filter(None, (error.text, error.detail, f"In: {dataset.name} ({dataset.file})")))
        raise click.UsageError(reason) from None
