"""Say why a run can't publish its rows."""

from __future__ import annotations


class MaterializationFailed(Exception):
    """A run can't publish its rows; the message says why in one line."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message} {hint}".strip())
        self.message = message
        self.hint = hint
