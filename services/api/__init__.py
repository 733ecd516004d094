"""The catalogue and the archive: REST, live streams, the web console, and gRPC for the other services."""
