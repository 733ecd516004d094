"""Deployments as CDEvents, for outside tools."""
