"""Writes to ``manual/``: register, update and remove specs, and what follows a write."""
