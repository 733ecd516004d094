"""The web console: a few server-rendered pages over the same data as the API."""
