"""Runs the stages of one job; gives its life and its log; owns the workspace."""
