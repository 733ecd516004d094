"""`slipway`: everything that the API can, and `slipway up` for the embedded stack."""
