"""The local project: find, check, compare and publish its Dataset Specs."""
