"""A deterministic simulator of deployments: the real engine, and models of everything around it that can fail.

What surrounds a deployment is told by a schedule's number: every fourth has two replicas of the coordinator, every fifth gates, and every
seventh a preview, which comes and goes with its change request.

`python -m tests.simulation --seed 7` replays one schedule and prints it; `--schedules 100000 --workers 2` runs many.
"""
