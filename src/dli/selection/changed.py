"""Find the specs of a project that differ from a Git ref, also in files that are not committed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dataspec.errors import InvalidUsage
from dataspec.problems import nearest
from dli.project.paths import shown
from dli.project.project import name_in
from dli.project.revision import run_git
from dli.selection.selection import paths_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dataspec.project.spec_checks import CheckedSpec

_SECONDS = 60
_MISSING = (b"missing", b"ambiguous")


def changed_specs(root: Path, ref: str, checked: Sequence[CheckedSpec]) -> list[CheckedSpec]:
    """Return the specs whose YAML, SQL files, macros or seeds differ from a Git ref, and those that need a dataset that is gone.

    Args:
        root: The project's folder.
        ref: A branch, a tag or a commit.
        checked: All specs of the project.

    Raises:
        InvalidUsage: Without Git, outside a repository, and for a ref that the repository does not have.
    """
    repository = _Repository.of(root)
    commit = repository.commit(ref)
    changed = repository.changed(commit)
    gone = set(repository.names_at(commit, changed)) - {spec.name for spec in checked}
    return [spec for spec in checked if _is_among(spec, root, changed) or _needs(spec, gone)]


def _is_among(spec: CheckedSpec, root: Path, changed: set[str]) -> bool:
    # Of a link, Git knows the link and, if it is in the repository, the file behind it.
    for path in paths_of(spec, root):
        folder, name = os.path.split(path)
        if os.path.join(os.path.realpath(folder), name) in changed or os.path.realpath(path) in changed:  # noqa: PTH118
            return True
    return False


def _needs(spec: CheckedSpec, names: set[str]) -> bool:
    if spec.dataset is None:
        return False
    tables = {name.lower() for name in names}
    reads = (use.name.lower() for use in spec.dataset.lineage.reads)
    return not names.isdisjoint(spec.dataset.depends_on) or any(table in tables for table in reads)


@dataclass(frozen=True, slots=True)
class _Repository:
    """The Git repository of a project."""

    root: Path
    top: str
    """The repository's folder, with links resolved."""

    @classmethod
    def of(cls, root: Path) -> _Repository:
        done = run_git(root, "rev-parse", "--show-toplevel", seconds=_SECONDS)
        if done is None:
            raise InvalidUsage(
                "--changed needs Git.", detail="It is not installed, or did not answer in time."
            )
        if done.returncode != 0:
            raise InvalidUsage(
                f"--changed needs a Git repository, and {shown(root)} is in none that Git can read.",
                detail=_first_line(done.stderr),
            )
        return cls(root, os.path.realpath(os.fsdecode(done.stdout.rstrip(b"\n"))))

    def commit(self, ref: str) -> str:
        """Return the hash of a ref's commit."""
        done = run_git(self.root, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
        if done is None or done.returncode != 0:
            raise self._unknown(ref)
        return done.stdout.decode().strip()

    def changed(self, commit: str) -> set[str]:
        """Return the paths of the files that differ from a commit; new files that Git does not ignore among them."""
        differing = self._run("diff", "--name-only", "-z", "--no-renames", "--no-ext-diff", commit, "--")
        place = os.path.relpath(os.path.realpath(self.root), self.top)
        untracked = self._run("ls-files", "--others", "--exclude-standard", "-z", "--", f":(literal){place}")
        paths = (differing + untracked).split(b"\0")
        return {os.path.join(self.top, os.fsdecode(path)) for path in paths if path}  # noqa: PTH118

    def names_at(self, commit: str, paths: set[str]) -> Iterator[str]:
        """Yield the names of the datasets that YAML files defined in a commit."""
        files = sorted(path for path in paths if path.endswith((".yaml", ".yml")) and "\n" not in path)
        asked = [f"{commit}:{os.path.relpath(path, self.top)}" for path in files]
        output = self._run("cat-file", "--batch", given=os.fsencode("\n".join(asked))) if asked else b""
        while output:
            head, _, output = output.partition(b"\n")
            if head.endswith(_MISSING):
                continue
            size = int(head.rsplit(b" ", 1)[1])
            if name := name_in(output[:size]):
                yield name
            output = output[size + 1 :]

    def _run(self, *arguments: str, given: bytes = b"") -> bytes:
        done = run_git(Path(self.top), *arguments, given=given, seconds=_SECONDS)
        if done is None or done.returncode != 0:
            reason = _first_line(done.stderr) if done else f"It took longer than {_SECONDS} s."
            raise InvalidUsage(f"--changed: 'git {arguments[0]}' failed.", detail=reason)
        return done.stdout

    def _unknown(self, ref: str) -> InvalidUsage:
        shallow = run_git(self.root, "rev-parse", "--is-shallow-repository")
        if shallow is not None and shallow.stdout.strip() == b"true":
            return InvalidUsage(
                f"--changed: this clone is shallow and does not have '{ref}'.",
                detail="Fetch the history: git fetch --unshallow origin\n"
                "In GitHub Actions: actions/checkout with fetch-depth: 0",
            )
        done = run_git(self.root, "for-each-ref", "--format=%(refname:short)")
        known = done.stdout.decode(errors="replace").split() if done else []
        hint = nearest(ref, ["HEAD", *known]) or "Give a branch, a tag or a commit: --changed REF"
        if ref == "HEAD":
            hint = "The repository has no commit yet."
        return InvalidUsage(f"--changed: Git does not know '{ref}' here.", detail=hint)


def _first_line(message: bytes) -> str:
    text = message.decode(errors="replace").strip()
    return text.partition("\n")[0].removeprefix("fatal: ")
