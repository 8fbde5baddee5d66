"""Backfills: a plan in the store for each, and a reconciler on every replica (docs/backfill.md)."""
