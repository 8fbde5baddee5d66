"""Who may do what: sign-in, rights and the audit log (``docs/access.md``)."""
