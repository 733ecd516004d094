"""The contracts between services: one file per conversation; types only, no rules."""
