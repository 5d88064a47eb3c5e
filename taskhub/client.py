"""What clients do with instances: start, look, signal, stop, purge."""
