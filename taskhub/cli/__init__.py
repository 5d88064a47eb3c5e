"""The taskhub command."""
