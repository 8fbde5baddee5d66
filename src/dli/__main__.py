"""``python -m dli`` is ``dli``."""

import sys

from dli.main import main

sys.exit(main())
