"""Who may do what through the gateway: scopes, tokens, groups of cameras."""
