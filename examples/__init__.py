"""Applications that the platform deploys, and the demo that deploys one."""
