"""Copy the store's effective datasets to small DAG files on this machine, and keep them up to date."""
