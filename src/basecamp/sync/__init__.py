"""The periodic check: compare the store with the ledger, update the ledger, announce switches of source."""
