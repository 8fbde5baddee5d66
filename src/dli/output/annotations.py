"""Problems as annotations of GitHub Actions: workflow commands that mark lines of a pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataspec.problems import Problem


def annotation(problem: Problem) -> str:
    """Return the workflow command for a problem, in one line."""
    places = (("file", problem.file), ("line", problem.line), ("col", problem.column))
    properties = ",".join(f"{key}={_property(str(value))}" for key, value in places if value is not None)
    message = f"{problem.message} {problem.hint}" if problem.hint else problem.message
    return f"::{problem.severity} {properties}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
