"""What a server allows and assumes (`manifestPreferences` in the reference's configuration)."""

from collections.abc import Mapping
from typing import Any

import msgspec

TRACKS: dict[str, tuple[str, ...]] = {
    "linux": ("stable", "beta", "dev"),
    "windows": ("nanoserver-1809-stable", "nanoserver-1809-beta", "nanoserver-1809-dev"),
}


class Preferences(msgspec.Struct, frozen=True, kw_only=True):
    """The first of a list is the default."""

    label_regexes: dict[str, str] = {}
    """By label: what its value has to match, as a whole."""
    operating_systems: tuple[str, ...] = ("linux", "windows")
    tracks: dict[str, tuple[str, ...]] = msgspec.field(default_factory=TRACKS.copy)
    """By operating system."""
    default_branch: str = "master"

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Preferences":
        """Return the preferences of a configuration with the reference's keys; what is empty has its default."""
        default = cls()
        return cls(
            label_regexes=dict(given.get("labelRegexes") or {}),
            operating_systems=tuple(given.get("builderOperatingSystems") or default.operating_systems),
            tracks={
                name: tuple(tracks or ())
                for name, tracks in (given.get("builderTracksPerOperatingSystem") or default.tracks).items()
            },
            default_branch=given.get("defaultBranch") or default.default_branch,
        )


DEFAULT = Preferences()
