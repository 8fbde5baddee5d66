"""The Dataset Spec: its model, how YAML is read into it and edited in place, its JSON Schema, names and hash."""
