"""Helpers for tests of orchestrators."""

from azure.durable_functions.testing.OrchestratorGeneratorWrapper import orchestrator_generator_wrapper

__all__ = ["orchestrator_generator_wrapper"]
