"""What runs a service: the worker's loop, its state, health, metrics and log."""
