"""What `slipway up` starts on one machine, and how it is kept running."""
