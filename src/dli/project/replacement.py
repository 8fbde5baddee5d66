"""Find out whether a registration would undo another person's work (docs/sources.md, "Registering over a version").

The project needs no file of its own for that. The server knows who wrote the registered version, and by what; Git knows
whether the project has had it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dataspec.keys import MACRO_FOLDER, SEED_FOLDER
from dli.project.git_history import history_has

if TYPE_CHECKING:
    from collections.abc import Callable

    from dataspec.models import SpecVersion
    from dli.project.project import LocalDataset


@dataclass(frozen=True, slots=True)
class ForeignChange:
    """A registered version that this project may not have."""

    reason: str
    """What was done to it, as the end of a sentence."""
    is_certain: bool
    """Whether it is known that the project does not have it; else Git could not tell."""


def foreign_change(
    registered: SpecVersion, local: LocalDataset, root: Path, my_name: Callable[[], str]
) -> ForeignChange | None:
    """Return why the registered version may be unknown to the project; None if it is the project's own.

    Args:
        registered: The registered version, which differs from the local one.
        local: The local spec.
        root: The project's folder.
        my_name: Returns the caller's name at the server.
    """
    by = registered.written_by
    if registered.action in {"update", "rollback"}:
        what = "changed by 'update'" if registered.action == "update" else "rolled back"
        return ForeignChange(f"was {what}, by {by}", is_certain=True)
    if by is None or by == my_name():
        return None
    is_known = _has_been_here(registered, local, root.resolve())
    if is_known:
        return None
    not_there = "and is not in this project's Git history"
    unsure = "and this project's Git history does not tell whether it has it"
    return ForeignChange(
        f"was registered by {by}, {not_there if is_known is False else unsure}", is_known is False
    )


def _has_been_here(registered: SpecVersion, local: LocalDataset, root: Path) -> bool | None:
    """Tell whether the project's history has had each text of a registered version; None if that is not known."""
    yaml = Path(local.file).resolve()
    if not yaml.is_relative_to(root):
        return None
    texts = {yaml: (registered.yaml or "").encode()}
    for path, text in registered.files.items():
        folder = root if path.startswith((MACRO_FOLDER, SEED_FOLDER)) else yaml.parent
        texts[folder / path] = text.encode()
    return history_has(root, texts)
