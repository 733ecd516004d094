"""Takes deliveries of forges, serves the git remote, sweeps what was missed: pushes become Changes, and none is lost."""
