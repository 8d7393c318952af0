"""The read model that pages ask: its keys in Redis, how numbers are packed there, and how a batch is written."""
