"""Serves the page; owns nothing."""
