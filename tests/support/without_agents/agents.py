"""Keeps the official SDK from finding the OpenAI Agents SDK of our test environment.

Apps that do not ask for it do not have it, and it takes the official package longer to import than everything else.
"""

raise ImportError("no agents in this environment")
