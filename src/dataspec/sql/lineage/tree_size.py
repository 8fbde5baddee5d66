"""Limit the statements whose columns are looked for (specification 10.13).

sqlglot's compiled code follows a tree by recursion, so a deep one ends the process, and looks at the tables of a query
by pairs.
"""

from __future__ import annotations

from sqlglot import exp

MAX_DEPTH = 500
"""Maximum depth of a syntax tree."""
MAX_TABLES = 1_000
"""Maximum number of tables of a statement."""
TOO_LARGE = "A statement is too deep, or has too many tables."
"""Why the columns of a statement are not known."""


def is_too_large(tree: exp.Expr) -> bool:
    """Return whether a statement is too deep, or has too many tables, to look for its columns."""
    tables, level = 0, [tree]
    for _ in range(MAX_DEPTH):
        if not level:
            break
        tables += sum(isinstance(node, exp.Table) for node in level)
        level = [child for node in level for child in node.iter_expressions()]
    return bool(level) or tables > MAX_TABLES
