"""Every spec in the store: how it is stored and read, which one is effective, and which versions are kept."""
