"""``python -m basecamp`` is the command ``basecamp``."""

from basecamp.main import main

main()
