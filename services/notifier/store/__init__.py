"""All SQL of notifier: channels, what is to be told, and what forges were told."""
