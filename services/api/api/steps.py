"""The entries of a log as the reference's API shows them: folded into steps, or one by one. Pure."""

from collections.abc import Iterable
from typing import Any

import msgspec
from estafette_common.bus.messages.logs import Change, End, Entry, Line
from estafette_common.jobs.lifecycle import StageStatus

Json = dict[str, Any]


def fold(entries: Iterable[Entry]) -> list[Json]:
    """Return the steps of a log, in the order they appeared; inner stages and services below their stage."""
    steps: dict[tuple[str, str, bool, int], Json] = {}
    top: list[Json] = []
    for entry in entries:
        if isinstance(entry, End):
            continue
        key = (entry.parent, entry.stage, entry.service, entry.run)
        step = steps.get(key)
        if step is None:
            step = steps[key] = _step(entry)
            owner = next((each for each in top if each["step"] == entry.parent), None) if entry.parent else None
            place = top if owner is None else owner["services" if entry.service else "nestedSteps"]
            place.append(step)
        _apply(step, entry)
    return top


def _step(entry: Line | Change) -> Json:
    return {
        "step": entry.stage,
        "depth": 1 if entry.parent else 0,
        "image": None,
        "runIndex": entry.run,
        "duration": 0,
        "logLines": [],
        "exitCode": 0,
        "status": StageStatus.UNKNOWN,
        "autoInjected": False,
        "nestedSteps": [],
        "services": [],
    }


def _apply(step: Json, entry: Line | Change) -> None:
    if isinstance(entry, Line):
        step["logLines"].append(_line(entry))
        return
    step["status"] = entry.status
    step["duration"] = entry.duration or step["duration"]
    step["exitCode"] = entry.exit_code or step["exitCode"]
    step["autoInjected"] = entry.auto_injected or step["autoInjected"]
    if entry.image is not None:
        step["image"] = msgspec.to_builtins(entry.image)


def tail_line(entry: Line | Change) -> Json:
    """Return an entry as one event of the live log (`TailLogLine`); empty parts are left out."""
    said: Json = {"step": entry.stage, "type": "service" if entry.service else "stage"}
    if entry.parent:
        said |= {"parentStage": entry.parent, "depth": 1}
    if entry.run:
        said["runIndex"] = entry.run
    if isinstance(entry, Line):
        return {**said, "logLine": _line(entry)}
    said["status"] = entry.status
    if entry.image is not None:
        said["image"] = msgspec.to_builtins(entry.image)
    if entry.duration:
        said["duration"] = entry.duration
    if entry.exit_code:
        said["exitCode"] = entry.exit_code
    if entry.auto_injected:
        said["autoInjected"] = True
    return said


def _line(line: Line) -> Json:
    return {"line": line.number, "timestamp": line.time, "streamType": line.stream, "text": line.text + "\n"}
