"""Takes requested jobs; gives running ones; owns the jobs of the runtime."""
