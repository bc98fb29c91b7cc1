"""docs/manifest.md lists what comes out otherwise than in the reference. Run it to renew the table."""

import re
from pathlib import Path

from tests.conformance.differences import DIFFERENCES

FILE = Path(__file__).parents[2] / "docs" / "manifest.md"

TABLE = re.compile(r"(<!-- differences -->\n\n)(?:\|.*\n)*")


def with_table(document: str) -> str:
    """Return the document with the table of differences as the tests have it."""
    rows = [f"| {case} | {_cell(told.here)} | {_cell(told.why)} |" for case, told in sorted(DIFFERENCES.items())]
    table = ["| case | here | why |", "|---|---|---|", *rows]
    return TABLE.sub(lambda found: found[1] + "".join(f"{row}\n" for row in table), document)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def test_what_comes_out_otherwise_is_documented() -> None:
    assert with_table(FILE.read_text()) == FILE.read_text()


if __name__ == "__main__":
    FILE.write_text(with_table(FILE.read_text()))
