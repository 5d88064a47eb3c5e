"""A task hub for Durable Functions, wire-compatible with the Azure Storage provider of the Durable Task Framework."""
