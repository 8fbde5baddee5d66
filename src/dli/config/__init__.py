"""Settings: options, variables and files, with the permissions that projects need."""
