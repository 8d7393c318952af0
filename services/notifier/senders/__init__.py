"""One module a channel: an attempt goes out, and how that ended comes back. Nothing here decides when."""
