"""docs/settings.md is made from the settings classes: run this file to make it anew."""

from importlib import import_module
from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import BaseSettings

DOCUMENT = Path(__file__).parents[3] / "docs" / "settings.md"

SERVICES = (
    "webhook_ingress",
    "cron_sender",
    "manifest_planner",
    "job_dispatcher",
    "builder",
    "log_sink",
    "hanging_job_cleaner",
    "notifier",
    "api",
    "web",
)

HEAD = """\
# Settings

Every setting comes from the environment, is read once at the start, and is checked: a value that makes no sense ends
the process with a message that names it. A setting without a default must be given.
"""


def document() -> str:
    """Return the document as the code says it."""
    parts = [HEAD]
    for service in SERVICES:
        settings: type[BaseSettings] = import_module(f"{service}.settings").Settings
        parts.append(f"## {service.replace('_', '-')}\n\n| variable | default | meaning |\n|---|---|---|")
        parts[-1] += "".join(f"\n{row(settings, name)}" for name in settings.model_fields) + "\n"
    return "\n".join(parts)


def row(settings: type[BaseSettings], name: str) -> str:
    """Return the row of a setting."""
    field = settings.model_fields[name]
    value = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    default = "must be given" if field.is_required() else f"`{value}`" if value not in {"", None} else "none"
    if name == "page_dir":
        default = "beside the code"
    return f"| `ESTAFETTE_{name.upper()}` | {default} | {field.description} |"


def test_every_setting_is_documented_as_it_is() -> None:
    assert DOCUMENT.read_text() == document(), f"run {__file__} to make {DOCUMENT.name} anew"


if __name__ == "__main__":
    DOCUMENT.write_text(document())
