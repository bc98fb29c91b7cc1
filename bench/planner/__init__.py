"""Measures manifest-planner; see `__main__`."""
