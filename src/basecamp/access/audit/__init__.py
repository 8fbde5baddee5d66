"""The audit log: who changed what, stored before and after each change (``docs/access.md``, "The audit log")."""
