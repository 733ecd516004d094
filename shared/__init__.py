"""What the services share: the message contracts and the plumbing that carries them. No domain rules."""
