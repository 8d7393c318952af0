"""Catseye: what the services share and what people install."""
