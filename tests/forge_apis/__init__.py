"""What forges publish of their APIs: the operations that Slipway calls, and whether what goes to a forge and comes from it fits them."""
