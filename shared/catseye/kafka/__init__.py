"""How the broker is reached: clients and their settings, topics, the schema registry."""
