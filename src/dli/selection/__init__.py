"""Which datasets of a project a command acts on: ``--select``, ``--exclude`` and ``--changed``.

Start with ``selection``; a command takes the options by :func:`dli.selection.options.selection_options`.
"""
