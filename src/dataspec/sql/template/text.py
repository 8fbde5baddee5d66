"""Text that a template yields, told from text that is a value."""

from __future__ import annotations


class TemplateText(str):
    """Text of a template's own, with words for its values: what a ``{% set %}`` block or a macro yields."""

    __slots__ = ()
