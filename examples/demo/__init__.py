"""`make demo`: the platform shown by itself, with real pushes and real visitors."""
