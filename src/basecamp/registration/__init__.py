"""Register, update and remove manual specs."""
