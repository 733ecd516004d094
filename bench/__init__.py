"""Benchmarks: one file a claim; each prints one JSON object on its last line."""
