"""Run replicas through faults on real servers: ``make chaos MINUTES=20 SEED=1``.

``OLD=<git ref>`` instead runs an older version of the server beside the new one, on one store: old replicas are
replaced by new ones, one after the other, and then by old ones again, with clients at work.

Prints what happened and each promise. The exit status is 1 if one is broken; then the logs are kept.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from chaos.replicas import NEW, older
from chaos.report import report
from chaos.run import Run
from chaos.world import world

REPLICAS = 3


def main() -> int:
    """Run; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--old", metavar="REF", help="run this older version beside the new one")
    options = parser.parse_args()

    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    first = older(options.old, folder) if options.old else NEW
    with world(folder, options.seed, [first] * REPLICAS) as (there, networks):
        run = Run(there, networks, options.seed)
        if options.old:
            run.versions(first, options.minutes)
        else:
            run.chaos(options.minutes)
    sys.stdout.write(report(run))
    if run.broken:
        sys.stdout.write(f"\nThe logs are in {folder}\n")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
