"""What services and clients agree on: records, topics, names, limits, errors. Pure."""
