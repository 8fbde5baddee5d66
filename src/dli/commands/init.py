"""``dli init``."""

from __future__ import annotations

from pathlib import Path

import click

from dataspec.errors import Refused
from dli.project.paths import PROJECT_FILES, here, shown
from dli.session import say


@click.command("init")
@click.argument("folder", required=False, metavar="[FOLDER]")
def command(folder: str | None) -> None:
    """Create a project.

    FOLDER is created if it is missing; the default is the current folder. It gets a dli.yaml,
    which defines where datasets run, and a .gitignore. Existing files stay as they are.
    """
    from dli.project.scaffold import project_files, write_new

    root = here() / folder if folder else here()
    if root.exists() and not root.is_dir():
        raise Refused(f"{shown(root)} is a file.", detail="Choose another folder.")
    if found := next((root / name for name in PROJECT_FILES if (root / name).exists()), None):
        raise Refused(
            f"This is already a project: {shown(found)} exists.", detail="Add a dataset: dli dataset init"
        )
    files = project_files(root.resolve().name)
    if (root / ".gitignore").exists():
        del files[".gitignore"]
    click.echo("\n".join(f"Created: {path}" for path in write_new(root, files)))
    (root / "datasets").mkdir(exist_ok=True)
    go = f"cd {shown(root)}\n" if Path(root) != here() else ""
    say(f"Next:\n{go}dli dataset init NAME")
