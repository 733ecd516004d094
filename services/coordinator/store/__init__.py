"""All SQL of the coordinator."""
