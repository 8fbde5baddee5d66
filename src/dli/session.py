"""What one command line asked for, and what follows from it."""

from __future__ import annotations

import os
import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from dataspec.errors import DliError, Unauthorized

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path
    from typing import TypeVar

    from dataspec.spec.dialects import ConnectionDialect
    from dataspec.spec.model import DatasetSpec
    from dataspec.store import Store
    from dataspec.trust import Permission
    from dli.client.client import Client
    from dli.config.settings import Settings
    from dli.credentials.lookup import Credential
    from dli.project.project import Project

    T = TypeVar("T")


INTERRUPTED = 130
"""The exit status after Ctrl-C (specification 20.4)."""


class Session:
    """The common options of a command, and the settings, project and client that they lead to.

    Each is made when it is first asked for, so that a command pays only for what it uses.
    """

    def __init__(self) -> None:
        self.path: str | None = None
        self.env: str | None = None
        self.server_url: str | None = None
        self.store_url: str | None = None
        self.verbose = False
        self.format = "table"

    @cached_property
    def root(self) -> Path:
        """The project's folder."""
        from dli.project.paths import find_root

        return find_root(self.path)

    @cached_property
    def settings(self) -> Settings:
        """The settings, the options of this command among them."""
        from dli.config.settings import Settings

        options = {"env": self.env, "server.url": self.server_url, "store.url": self.store_url}
        return Settings(self.root, options, os.environ, ask=_ask if is_interactive() else None)

    @cached_property
    def project(self) -> Project:
        """The project on this machine."""
        from dli.project.project import Project

        return Project(self.root, self.settings.datasets_dir)

    def renewed(self) -> Session:
        """Return a session with the same options, for which nothing has been read yet."""
        new = Session()
        for name in ("path", "env", "server_url", "store_url", "verbose", "format"):
            setattr(new, name, getattr(self, name))
        return new

    @property
    def is_outside_project(self) -> bool:
        """Whether the command looked for specs where there is no project."""
        return "project" in vars(self) and not self.project.is_made

    @cached_property
    def dialects(self) -> dict[str, ConnectionDialect]:
        """The SQL dialects of the connections of this machine, by the connection's name."""
        from dli.local.engines.opening import dialects_here

        return dialects_here(self.settings)

    def dialect_of(self, spec: DatasetSpec) -> str | None:
        """Return the dialect of a spec's SQL: its own, or that of its connection on this machine."""
        known = self.dialects.get(spec.execution.connection)
        return spec.execution.dialect or (known.name if known else None)

    @cached_property
    def store(self) -> Store:
        """The store that the settings name."""
        from dli.config.stores import open_named_store

        return open_named_store(self.settings)

    @cached_property
    def credential(self) -> Credential | None:
        """What identifies the user to the server; None without it."""
        from dli.client.addresses import parse_address
        from dli.credentials.lookup import find_credential

        server = parse_address(self.settings.server_url)
        return find_credential(self.settings, server, os.environ, lambda text: warn([text]))

    @cached_property
    def client(self) -> Client:
        """A client of the server that the settings name, with the user's credential for it."""
        if stronger := self.settings.overridden_by_variable():
            say(
                f"Warning: {stronger.origin} stands before the server of the environment '{self.settings.env}'."
            )
        return self.client_with(self.credential.token if self.credential else "")

    def client_with(self, token: str) -> Client:
        """Return a client with a token; without one if it is empty."""
        from dli.client.client import Client

        return Client(
            self.settings.server_url,
            token=token,
            user=self.settings.user,
            timeout_seconds=self.settings.timeout_seconds,
            log=say if self.verbose else None,
            warn=lambda text: warn([text]),
        )

    def explain(self, error: DliError) -> None:
        """Add to the error of a server that does not know the user what to do about it here."""
        if not isinstance(error, Unauthorized) or "client" not in vars(self):
            return  # an error that is not the server's says what to do
        from dli.credentials.lookup import explain

        explain(error, self.credential, is_interactive=is_interactive())

    def close(self) -> None:
        """Close the connection to the server, if there is one."""
        if "client" in vars(self):
            self.client.close()

    def dataset_name(self, named: str) -> str:
        """Return a dataset's name, which may have been given by the path of its file.

        Raises:
            InvalidSpec: When that file holds no name.
        """
        if "/" not in named and not named.endswith((".yaml", ".yml")):
            return named
        from dli.project.project import is_path

        if not is_path(named):
            return named
        dataset = self.project.find(named)
        return dataset.name or dataset.checked().name

    def print_items(
        self, items: Iterable[T], titles: Sequence[str], row: Callable[[T], Sequence[str]]
    ) -> None:
        """Print a list as a table, or as a JSON array with the API's field names."""
        if self.format == "json":
            self.print_json(list(items))
            return
        from dli.output.tables import print_table

        print_table(titles, map(row, items))

    def print_item(self, item: Any, text: str) -> None:
        """Print one thing as text, or as a JSON object with the API's field names."""
        if self.format == "json":
            self.print_json(item)
        else:
            click.echo(text)

    def print_json(self, data: Any) -> None:
        """Print data as JSON, and nothing else; a list with an item in each line."""
        import json

        from dli.client.protocol import encode

        def dumped(item: Any, indent: int | None) -> str:
            return json.dumps(item, indent=indent, ensure_ascii=False, default=encode)

        if isinstance(data, list):
            # Without an indent json's C code writes the item, ten times faster.
            items = ",\n".join(dumped(item, None) for item in data)
            click.echo(f"[\n{items}\n]" if data else "[]")
        else:
            click.echo(dumped(data, 2))


def say(message: str) -> None:
    """Print what is not data: to standard error."""
    click.echo(message, err=True)


def warn(messages: Iterable[str], tell: Callable[[str], None] = say) -> None:
    """Print warnings to standard error, or by another function, further lines of each aligned."""
    for message in messages:
        tell("Warning: " + message.replace("\n", "\n" + " " * len("Warning: ")))


def _ask(permission: Permission) -> bool:
    """Ask the user for a permission of the project."""
    say(f"{permission}.")
    return click.confirm("Do you agree, once for this project?", err=True)


def is_interactive() -> bool:
    """Whether a person sits at both ends: can be asked, and sees the question."""
    return sys.stdin.isatty() and sys.stderr.isatty()
