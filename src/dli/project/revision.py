"""Find the commit of a folder's files, from the CI system's variables or from Git."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

GIT_SECONDS = 10

_OF_CI = (
    ("GITHUB_SHA", "GITHUB_REPOSITORY", "GITHUB_REF", "GITHUB_ACTOR"),
    ("CI_COMMIT_SHA", "CI_PROJECT_PATH", "CI_COMMIT_REF_NAME", "GITLAB_USER_LOGIN"),
)
"""The variables of GitHub Actions and of GitLab CI: commit, repository, branch or tag, person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A commit; unknown fields are None."""

    commit: str | None = None
    """Its hash, with the suffix ``-dirty`` if the folder has uncommitted changes."""
    repository: str | None = None
    """The repository's path, such as ``shop/datasets``."""
    ref: str | None = None
    """The branch or tag."""
    person: str | None = None
    """The user who started the CI pipeline."""


def find_revision(folder: Path, environ: Mapping[str, str]) -> Revision:
    """Return the commit of a folder.

    Args:
        folder: The folder with the files.
        environ: The environment variables.
    """
    for names in _OF_CI:
        commit, repository, ref, person = (environ.get(name) or None for name in names)
        if commit is not None:
            return Revision(commit=commit, repository=repository, ref=ref, person=person)
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    if not commit:
        return Revision()
    dirty = "-dirty" if _git(folder, "status", "--porcelain", "--", ".") else ""
    branch = _git(folder, "symbolic-ref", "--short", "--quiet", "HEAD")
    origin = _git(folder, "config", "--get", "remote.origin.url")
    return Revision(commit=f"{commit}{dirty}", repository=_path_of(origin or ""), ref=branch or None)


def git(folder: Path, *arguments: str, given: bytes = b"") -> bytes | None:
    """Return what Git prints in a folder; None if it fails or takes too long."""
    done = run_git(folder, *arguments, given=given)
    return done.stdout.strip() if done is not None and done.returncode == 0 else None


def run_git(
    folder: Path, *arguments: str, given: bytes = b"", seconds: float = GIT_SECONDS
) -> subprocess.CompletedProcess[bytes] | None:
    """Run Git in a folder; None if it is not installed or takes too long."""
    try:
        return subprocess.run(  # noqa: S603 - no shell
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - git's path depends on the system
            input=given,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def _git(folder: Path, *arguments: str) -> str | None:
    found = git(folder, *arguments)
    try:
        return None if found is None else found.decode()
    except UnicodeDecodeError:
        return None


def _path_of(url: str) -> str | None:
    """Return the path in a remote's URL, without the host and its credentials."""
    _, scheme, rest = url.rpartition("://")
    host, separator, path = rest.partition("/" if scheme else ":")
    if not host or not separator:
        return None
    return path.strip("/").removesuffix(".git") or None
