import re
from pathlib import Path

import pytest
from estafette_common.manifest.reading import read

DOCUMENT = Path(__file__).parents[3] / "docs" / "manifest.md"
EXAMPLES = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(), flags=re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_can_be_built(example: str) -> None:
    assert read(example).stages
