"""Takes events and commands; gives jobs; owns pipelines, builds and decisions."""
