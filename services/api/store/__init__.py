"""All SQL of api, one file per noun."""
