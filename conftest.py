"""Fixtures for every test of the repository."""

pytest_plugins = ["estafette_local.fixtures"]
