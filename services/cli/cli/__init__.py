"""The command `estafette`: manifests checked, shown and migrated; owns nothing."""
