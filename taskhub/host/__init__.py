"""The local Functions host: loads apps, serves HTTP, runs functions."""
