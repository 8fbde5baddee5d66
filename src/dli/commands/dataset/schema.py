"""``dli dataset schema``."""

from __future__ import annotations

from pathlib import Path

import click

from dataspec.spec.json_schema import schema_text
from dli.options import verbose_option
from dli.session import say


@click.command("schema")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the schema to a file.",
)
@verbose_option
def command(output: Path | None) -> None:
    """Print the JSON Schema of a Dataset Spec.

    Editors use it to complete and check specs: see docs/dataset-spec.md.
    """
    text = schema_text()
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.BadParameter(f"{output}: {error.strerror}.", param_hint="--output") from None
    say(f"Written: {output}")
