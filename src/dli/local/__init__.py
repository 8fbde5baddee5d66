"""Running datasets on this machine."""
