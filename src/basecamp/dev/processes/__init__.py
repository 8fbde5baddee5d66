"""The programs of `basecamp dev`: started, watched and ended."""
