"""What a job takes of its container: how it is worked out, and read from control groups."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from builder.cgroups import MEMBERSHIP, Group1, Group2, find
from builder.measuring import Meter, meter
from builder.peaks import Peaks, Sample, field, own_path, working_set
from estafette_common.jobs.usage import Usage
from estafette_local.waiting import eventually

CGROUPS = Path("/sys/fs/cgroup")
MEGABYTE = 1_000_000


def most(*samples: tuple[float, int, float]) -> Usage | None:
    peaks = Peaks()
    for sample in samples:
        peaks.add(Sample(*sample))
    return peaks.usage()


def per_second(rates: list[tuple[int, float]]) -> list[tuple[float, int, float]]:
    """Return a sample for each second of a job that uses so many cores for so many seconds, one after the other."""
    samples, cpu = [(0.0, 0, 0.0)], 0.0
    for seconds, cores in rates:
        for _ in range(seconds):
            cpu += cores
            samples.append((float(len(samples)), 0, cpu))
    return samples


@pytest.mark.parametrize("samples", [[], [(1.0, 5, 2.0)], [(1.0, 5, 2.0), (1.0, 5, 2.0)]])
def test_nothing_is_known_of_no_time(samples: list[tuple[float, int, float]]) -> None:
    assert most(*samples) is None


def test_the_most_memory_is_that_of_the_highest_sample() -> None:
    found = most((0.0, 10, 0.0), (1.0, 30, 0.0), (2.0, 20, 0.0))
    assert found is not None
    assert found.memory == 30


@pytest.mark.parametrize(
    ("rates", "cores"),
    [
        ([(10, 1.0)], 1.0),
        ([(5, 2.0), (15, 0.0)], 0.5),
        ([(60, 1.0)], 1.0),
        ([(60, 0.0), (60, 2.0), (600, 0.5)], 2.0),
        ([(300, 0.1), (30, 4.0), (300, 0.1)], 2.05),
        ([(600, 0.25)], 0.25),
    ],
    ids=["short", "short-and-uneven", "a-minute", "a-minute-of-many", "half-a-minute-of-many", "long-and-even"],
)
def test_cpu_is_that_of_the_busiest_minute_or_of_the_whole_of_a_shorter_job(
    rates: list[tuple[int, float]], cores: float
) -> None:
    found = most(*per_second(rates))
    assert found is not None
    assert found.cpu == pytest.approx(cores)


@pytest.mark.parametrize(("killed", "short"), [((2, 2, 2), False), ((0, 1, 1), True), ((2, 2, 3), True)])
def test_what_is_ended_for_want_of_memory_while_the_job_runs_is_noted(killed: tuple[int, ...], *, short: bool) -> None:
    peaks = Peaks()
    for second, count in enumerate(killed):
        peaks.add(Sample(float(second), 0, 0.0, count))
    found = peaks.usage()
    assert found is not None
    assert found.out_of_memory == short


def test_a_minute_is_kept_and_no_more() -> None:
    peaks = Peaks()
    for sample in per_second([(10_000, 1.0)]):
        peaks.add(Sample(*sample))
    assert len(peaks._samples) == 61


def test_what_can_be_given_back_is_not_in_the_working_set() -> None:
    assert working_set(100, 30) == 70
    assert working_set(100, 130) == 0


def test_a_field_is_found_by_its_whole_name() -> None:
    text = "inactive_file 1\ntotal_inactive_file 2\n"
    assert field(text, "total_inactive_file") == 2
    with pytest.raises(ValueError, match="no file"):
        field(text, "file")


@pytest.mark.parametrize(
    ("controller", "path"), [("", "/kubepods/a"), ("memory", "/m"), ("cpuacct", "/c:d"), ("pids", "/")]
)
def test_a_process_is_in_the_group_that_its_membership_names(controller: str, path: str) -> None:
    assert own_path("3:cpu,cpuacct:/c:d\n2:memory:/m\n0::/kubepods/a\n", controller) == path


def version_2(folder: Path, *, used: int = 50, inactive: int = 20, seconds: float = 1.5) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cgroup.controllers").write_text("cpu memory\n")
    (folder / "memory.current").write_text(f"{used * MEGABYTE}\n")
    (folder / "memory.stat").write_text(f"anon 7\ninactive_file {inactive * MEGABYTE}\nactive_file 9\n")
    (folder / "memory.events").write_text("oom 3\noom_kill 2\n")
    (folder / "cpu.stat").write_text(f"usage_usec {seconds * 1e6:.0f}\nuser_usec 3\nsystem_usec 4\n")
    return folder


def version_1(root: Path, path: str = "") -> Path:
    for controller in ("memory", "cpuacct"):
        (root / controller / path).mkdir(parents=True, exist_ok=True)
    (root / "memory" / path / "memory.usage_in_bytes").write_text(f"{50 * MEGABYTE}\n")
    (root / "memory" / path / "memory.stat").write_text(f"inactive_file 1\ntotal_inactive_file {20 * MEGABYTE}\n")
    (root / "memory" / path / "memory.oom_control").write_text("under_oom 0\noom_kill 2\n")
    (root / "cpuacct" / path / "cpuacct.usage").write_text("1500000000\n")
    return root


@pytest.mark.parametrize("make", [version_1, version_2])
def test_both_versions_of_control_groups_are_read(make: Callable[[Path], Path], tmp_path: Path) -> None:
    group = find(make(tmp_path), "2:memory:/docker/far\n1:cpuacct:/docker/far\n0::/\n", whole=True)

    assert group is not None
    sample = group.sample()
    assert (sample.memory, sample.cpu, sample.killed) == (30 * MEGABYTE, 1.5, 2)


def test_a_kernel_that_does_not_count_what_it_ends_is_read_as_well(tmp_path: Path) -> None:
    root = version_1(tmp_path)
    (root / "memory" / "memory.oom_control").write_text("under_oom 0\n")
    assert Group1(root / "memory", root / "cpuacct").sample().killed == 0


def test_a_container_that_sees_the_groups_of_its_machine_finds_its_own(tmp_path: Path) -> None:
    version_2(version_2(tmp_path) / "pod" / "builder")
    assert find(tmp_path, "0::/pod/builder\n", whole=False) == Group2(tmp_path / "pod" / "builder")

    older = tmp_path / "older"
    version_1(version_1(older), "pod")
    own = Group1(older / "memory" / "pod", older / "cpuacct" / "pod")
    assert find(older, "2:memory:/pod\n1:cpu,cpuacct:/pod\n", whole=False) == own


def test_nothing_is_measured_where_containers_of_the_job_are_not_below_its_group(tmp_path: Path) -> None:
    version_2(version_2(tmp_path) / "pod")
    assert find(tmp_path, "0::/pod\n", whole=True) is None

    version_1(version_1(tmp_path / "older"), "pod")
    assert find(tmp_path / "older", "2:memory:/pod\n1:cpuacct:/pod\n", whole=True) is None


def test_nothing_is_found_where_there_are_no_control_groups(tmp_path: Path) -> None:
    assert find(tmp_path, "0::/\n", whole=False) is None


async def test_nothing_is_measured_unless_it_is_said_where() -> None:
    measuring = meter(None, engine=False)
    await measuring.run()
    assert measuring.usage() is None


def test_what_cannot_be_read_any_more_was_not_measured(tmp_path: Path) -> None:
    measuring = Meter(Group2(version_2(tmp_path)))
    measuring.usage()
    (tmp_path / "memory.current").unlink()
    assert measuring.usage() is None


async def test_the_real_group_of_a_process_tells_what_it_does() -> None:
    group = find(CGROUPS, MEMBERSHIP.read_text(), whole=False)
    try:
        before = group.sample() if group else None
    except OSError:
        before = None
    if group is None or before is None:
        pytest.skip("no control group of this process can be read")
    held = b"x" * (64 * MEGABYTE)
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass
    after = group.sample()
    assert after.cpu - before.cpu >= 0.15
    assert after.memory >= len(held)


async def test_samples_are_taken_while_a_job_runs() -> None:
    samples = [Sample(0.0, 10, 0.0), Sample(1.0, 30, 0.5), Sample(2.0, 20, 1.0)]
    left = list(samples)

    class Script:
        """A group that shows one sample after the other."""

        def sample(self) -> Sample:
            return left.pop(0)

    measuring = Meter(Script())
    running = asyncio.create_task(measuring.run())

    async def two_are_taken() -> bool:
        return len(left) == 1

    await eventually(two_are_taken)
    running.cancel()
    assert measuring.usage() == Usage(memory=30, cpu=0.5)
