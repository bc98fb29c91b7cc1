"""The language of `.estafette.yaml`: reading, versions, `when`, environment, secrets. No input or output."""
