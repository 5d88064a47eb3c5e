"""Whole hubs in virtual time: the loop, the processes and the world that one seed repeats.

Tests of the task hub run in it, and so do tests of apps, through ``azure.durable_functions.testing``.
"""
