"""The tables that SQL reads and writes. Start with ``dataset_lineage``."""
