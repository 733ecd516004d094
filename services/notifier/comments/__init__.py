"""The comment that a change request has: what its previews' deployments came to, as one text that is kept up to date in place."""
