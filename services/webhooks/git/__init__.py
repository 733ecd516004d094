"""Slipway's own git remote: smart HTTP by `git http-backend`, and the pipeline told to the pusher."""
