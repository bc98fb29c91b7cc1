from pathlib import Path

import pytest
from estafette_common.bus import subjects

DOCUMENT = Path(__file__).parents[3] / "docs" / "integrate.md"
TEMPLATES = sorted(
    value for name, value in vars(subjects).items() if name.isupper() and isinstance(value, str) and "." in value
)


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_subject_is_documented(template: str) -> None:
    assert f"`{template}`" in DOCUMENT.read_text()
    assert f"`{template}`" in (subjects.__doc__ or "")


def test_every_stream_is_documented() -> None:
    assert all(f"| `{stream.name}` |" in DOCUMENT.read_text() for stream in subjects.STREAMS.values())
