"""What a person sees: tables, trees, diagrams, times and progress."""
