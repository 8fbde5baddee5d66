"""Look for a version of a spec in the project's Git history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dli.project.revision import git

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def history_has(root: Path, texts: Mapping[Path, bytes]) -> bool | None:
    """Tell whether the history of the present commit has had each of these texts, in any file of the project.

    Args:
        root: The project's folder.
        texts: The texts, by the paths that they have in the working tree, below the project's folder.

    Returns:
        None if that is not known: without Git, in a shallow clone that lacks them, or if Git is too slow.
    """
    shallow = git(root, "rev-parse", "--is-shallow-repository")
    if shallow is None:
        return None
    found = [_has(root, path, text) for path, text in texts.items()]
    if None in found:
        return None
    return True if all(found) else None if shallow == b"true" else False


def _has(root: Path, path: Path, text: bytes) -> bool | None:
    """Tell whether the history has a text; None if Git fails."""
    # With the path, Git converts line ends as it did when the file was added.
    blob = git(root, "hash-object", "--stdin", "--path", str(path.relative_to(root)), given=text)
    if blob is None:
        return None
    if git(root, "cat-file", "-e", blob.decode()) is None:
        return False
    commits = git(root, "log", "-1", "--format=%H", f"--find-object={blob.decode()}", "HEAD", "--", ".")
    return None if commits is None else bool(commits)
