"""`self` in the triggers of a manifest: the pipeline that the manifest belongs to."""

from msgspec.structs import replace

from estafette_common.manifest import model
from estafette_common.triggers.model import WrittenTrigger
from estafette_common.triggers.own_pipeline import replace_written_self


def replace_self(manifest: model.Manifest, pipeline: str) -> model.Manifest:
    """Return the manifest with `self` replaced by its pipeline, `github.com/acme/shop`, in every trigger."""

    def replaced(triggers: tuple[WrittenTrigger, ...]) -> tuple[WrittenTrigger, ...]:
        return tuple(replace_written_self(trigger, pipeline) for trigger in triggers)

    return replace(
        manifest,
        triggers=replaced(manifest.triggers),
        releases=tuple(replace(each, triggers=replaced(each.triggers)) for each in manifest.releases),
        bots=tuple(replace(each, triggers=replaced(each.triggers)) for each in manifest.bots),
    )
