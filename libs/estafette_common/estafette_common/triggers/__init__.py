"""Triggers: what starts a build, a release or a bot without a push to its own repository. Pure."""
