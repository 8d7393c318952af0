"""Model files: their contract, how they are checked, kept, signed, registered and run."""
