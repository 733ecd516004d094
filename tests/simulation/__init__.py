"""A deterministic simulator of deployments: the real engine, and models of everything around it that can fail.

`python -m tests.simulation --seed 7` replays one schedule and prints it; `--schedules 100000 --workers 2` runs many.
"""
