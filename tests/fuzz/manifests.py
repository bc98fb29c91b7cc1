"""Reads manifests that were tampered with, and judges what comes of each.

`make hostile` reads 100,000, `make hostile-quick` as many as fit in a minute with the rest. Seeded: `--seed` and the
number of a manifest make it again (`--only`). It fails on anything raised but findings, on a refusal that does not say
what and where, on one that takes longer than a second, on what cannot be written and read back, and on memory that
grows. `tests/fuzz/manifest.py` looks for new ways to break it; this is for what must hold.
"""

import argparse
import resource
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from estafette_common.manifest import writing
from estafette_common.manifest.findings import Findings
from estafette_common.manifest.preferences import DEFAULT
from estafette_common.manifest.reading import as_written, check_anew

from tests.fuzz import mutating

REPOSITORY = Path(__file__).parents[2]

LONGEST_SAMPLE = 20_000
"""Bytes."""

SLOWEST = 1.0
"""Seconds of processor time for one manifest."""

WARM_AFTER = 0.25
"""Part of the manifests after which memory must not grow any more."""

MOST_GROWTH = 24 * 1024
"""KiB of the highest resident memory."""


@dataclass
class Judged:
    """What was seen so far."""

    outcomes: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    slowest: float = 0.0
    memory: list[int] = field(default_factory=list)
    """Highest resident memory in KiB, when warm and at the end."""


def samples() -> list[bytes]:
    """Return manifests as people write them."""
    files = [
        *sorted(REPOSITORY.glob("services/builder/tests/manifests/*.yaml")),
        *REPOSITORY.glob("deploy/local/sample/.e*"),
    ]
    texts = [file.read_bytes() for file in files]
    documented = (REPOSITORY / "docs" / "manifest.md").read_bytes().split(b"```")[1::2]
    texts += [each.removeprefix(b"yaml\n") for each in documented if each.startswith(b"yaml\n")]
    return [text for text in texts if text.strip() and len(text) < LONGEST_SAMPLE]


def make(number: int, *, seed: int, among: list[bytes]) -> bytes:
    """Return the manifest of a number; the same for the same seed and samples."""
    random = Random(f"{seed}/{number}")
    text = random.choice(among)
    match random.randrange(10):
        case 0:
            other = random.choice(among)
            return mutating.raw(text[: random.randrange(len(text))] + other[random.randrange(len(other)) :], random)
        case 1:
            lines = text.splitlines(keepends=True)
            random.shuffle(lines)
            return b"".join(lines)
        case 2:
            depth = random.choice((50, 1_000, 50_000))
            return text + b"\nlabels: " + random.choice((b"[", b"{a: ", b"- ")) * depth
        case 3:  # a bomb of aliases
            levels = b"".join(b"l%d: &l%d [%b]\n" % (n, n, b", ".join([b"*l%d" % (n - 1)] * 9)) for n in range(1, 12))
            return b"l0: &l0 [x]\n" + levels + text
        case _:
            return mutating.raw(text, random)


def judge(number: int, written: bytes, judged: Judged) -> None:
    """Read a manifest and judge what comes of it."""
    text = written.decode(errors="surrogateescape")
    began = time.process_time()
    try:
        checked = check_anew(text, DEFAULT)
    except Exception as error:  # noqa: BLE001  whatever it is, it must not be raised
        judged.violations.append(f"#{number}: reading raises {error!r:.300}")
        judged.outcomes["raised"] += 1
        return
    seconds = time.process_time() - began
    judged.slowest = max(judged.slowest, seconds)
    if seconds > SLOWEST:
        judged.violations.append(f"#{number}: takes {seconds:.1f} s")
    if checked.manifest is None:
        judged.outcomes["refused"] += 1
        if not checked.errors or not all(found.message for found in checked.errors):
            judged.violations.append(f"#{number}: refused without a reason")
        return
    judged.outcomes["read"] += 1
    first = as_written(text, Findings())
    if as_written(writing.to_yaml(first), Findings()) != first:
        judged.violations.append(f"#{number}: written and read again, it is another")


def main() -> None:
    """Read, print the table, fail on a violation."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, nargs="*", help="numbers of manifests")
    options = parser.parse_args()
    among, judged, began = samples(), Judged(), time.monotonic()
    wanted = options.only or range(options.count)
    for done, number in enumerate(wanted, start=1):
        judge(number, make(number, seed=options.seed, among=among), judged)
        if done in {int(WARM_AFTER * len(wanted)), len(wanted)}:
            judged.memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    grown = judged.memory[-1] - judged.memory[0]
    if grown > MOST_GROWTH:
        judged.violations.append(f"memory grew by {grown} KiB after the first {WARM_AFTER:.0%}")
    report(judged, options.seed, time.monotonic() - began)
    if judged.violations:
        sys.exit(1)


def report(judged: Judged, seed: int, seconds: float) -> None:
    """Print what came of them."""
    total = judged.outcomes.total()
    print(f"| manifests (seed {seed}) | read | refused | raised | slowest ms |\n|---|---|---|---|---|")
    counts = " | ".join(f"{judged.outcomes[each]:,}" for each in ("read", "refused", "raised"))
    print(f"| {total:,} | {counts} | {judged.slowest * 1000:.0f} |")
    print(
        f"\n{seconds:.0f} s, {total / seconds:,.0f}/s. Highest resident memory {judged.memory[0]:,} KiB after the first"
    )
    print(f"{WARM_AFTER:.0%}, {judged.memory[-1]:,} at the end.")
    for line in judged.violations[:20]:
        print(f"VIOLATION {line}")
    print(f"{len(judged.violations)} violations\n")


if __name__ == "__main__":
    main()
