"""Text for people: tables, graphs, dry runs, times and progress."""
