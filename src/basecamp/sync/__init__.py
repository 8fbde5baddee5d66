"""The periodic check of the store: what changed in the sources of datasets, and who is notified."""
