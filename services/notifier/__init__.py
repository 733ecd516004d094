"""Tells people, forges and tools what happened."""
