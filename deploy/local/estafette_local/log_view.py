"""A build's live log in a terminal, or in a file: stage headers, lines, durations."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

ENDS = {
    "SUCCEEDED": ("✔", "green"),
    "FAILED": ("✘", "red"),
    "CANCELED": ("■", "yellow"),
    "SKIPPED": ("·", "dim"),
}
"""Sign and style of each status that ends a stage."""


class LogView:
    """Prints the events of a build's live log (the API's TailLogLine) as they come."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._begun: set[str] = set()
        self.lines = 0

    def show(self, event: Mapping[str, Any]) -> None:
        """Print what one event says."""
        stage = f"{event['parentStage']}/{event['step']}" if event.get("parentStage") else event["step"]
        status = event.get("status") or ""
        if stage not in self._begun and status not in ("SKIPPED", "PENDING"):
            self._begun.add(stage)
            self._print(Text.assemble((f"▶ {stage}", "bold cyan"), (_image(event), "dim")))
        line = event.get("logLine")
        if line:
            self.lines += 1
            style = "" if line.get("streamType", "stdout") == "stdout" else "yellow"
            self._print(Text.assemble(("  │ ", "dim"), Text.from_ansi(line["text"].rstrip("\n"), style=style)))
        if status in ENDS:
            sign, style = ENDS[status]
            self._print(Text(f"{sign} {stage} {status.lower()}{_how(event)}", style=style))

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)


def _image(event: Mapping[str, Any]) -> str:
    image = event.get("image") or {}
    return f"  {image['name']}:{image['tag']}" if image.get("name") else ""


def _how(event: Mapping[str, Any]) -> str:
    if event.get("status") == "SKIPPED":
        return ""
    code = f" (exit code {event['exitCode']})" if event.get("exitCode") else ""
    return f" in {(event.get('duration') or 0) / 1e9:.1f} s{code}"
