"""Fuzzes the reading of manifests: whatever the text, it is read or told, and what was read is written and read back.

`make fuzz`. Needs atheris. What breaks it is written to tests/fuzz/crashes, which the tests read again.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["estafette_common.manifest", "estafette_common.triggers"]):
    from estafette_common.manifest import writing
    from estafette_common.manifest.findings import Findings, ManifestError
    from estafette_common.manifest.preferences import DEFAULT
    from estafette_common.manifest.reading import as_written, check_anew

CRASHES = Path(__file__).parent / "crashes"


def read(data: bytes) -> None:
    """Read one text; raises when something other than a ManifestError comes of it."""
    text = data.decode(errors="surrogateescape")
    check_anew(text, DEFAULT)
    try:
        written = as_written(text, findings := Findings())
    except ManifestError:
        return
    if not any(found.severity == "error" for found in findings.ordered()):
        assert as_written(writing.to_yaml(written), Findings()) == written


if __name__ == "__main__":
    options = [
        f"-artifact_prefix={CRASHES}/",
        "-max_len=4096",
        "-timeout=10",
        f"-dict={Path(__file__).parent / 'words'}",
    ]
    atheris.Setup([*sys.argv, *options], read)
    atheris.Fuzz()
