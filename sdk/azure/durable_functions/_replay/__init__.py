"""The one replay engine: history events in, decisions out; pure and synchronous."""
