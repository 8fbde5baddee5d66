"""A spec's SQL: its texts and templates, how values go in, how dialects read it, which tables it names."""
