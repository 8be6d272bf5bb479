"""What happened: events, their codec, and the append-only store. Knows nothing of hosts."""
