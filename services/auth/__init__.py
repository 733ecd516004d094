"""Who may do what: people, forge accounts, roles, tokens, and the audit log."""
