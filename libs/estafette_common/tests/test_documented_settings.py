"""docs/settings.md is made from the settings classes: `uv run python <this file>` writes it anew."""

import types
import typing
from importlib import import_module
from pathlib import Path

from estafette_common.settings import DatabaseSettings
from pydantic import SecretStr
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs" / "settings.md"
THIS_FILE = Path(__file__).relative_to(ROOT)

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
"""By package, in the order that a push meets them."""

TYPES: dict[object, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    Path: "path",
    SecretStr: "secret text",
}

BESIDE_THE_CODE = {"page_dir"}
"""Settings whose default is a place beside the code, which differs from machine to machine."""

HEAD = """\
# Settings

Every setting comes from the environment, is read once at the start, and is checked: a value that makes no sense ends
the process with a message that names it. Variables that a service does not know are ignored, so one environment can
serve several. `must be given` stands where there is no default.

Services that share a setting must agree on it: `ESTAFETTE_SECRET_KEY` is one for manifest-planner and job-dispatcher;
`ESTAFETTE_RUNTIME`, `ESTAFETTE_LOCAL_SOCKET` and `ESTAFETTE_KUBERNETES_NAMESPACE` are one for job-dispatcher and
hanging-job-cleaner; `ESTAFETTE_LOCAL_SOCKET` is also the builder host's.
"""

MIGRATIONS = "the schema (`python -m estafette_common.database`)"


def document() -> str:
    """Return the document as the code says it."""
    sections = {each.replace("_", "-"): import_module(f"{each}.settings").Settings for each in SERVICES}
    sections[MIGRATIONS] = DatabaseSettings
    return "\n".join([HEAD, *(section(title, settings) for title, settings in sections.items())])


def section(title: str, settings: type[BaseSettings]) -> str:
    """Return the heading and the table of a settings class."""
    head = f"## {title}\n\n| variable | type | default | meaning |\n|---|---|---|---|\n"
    return head + "".join(f"{row(settings, name)}\n" for name in settings.model_fields)


def row(settings: type[BaseSettings], name: str) -> str:
    """Return the row of a setting."""
    field = settings.model_fields[name]
    variable = f"{settings.model_config['env_prefix']}{name}".upper()
    return f"| `{variable}` | {type_of(field.annotation)} | {default_of(name, field.default)} | {field.description} |"


def type_of(annotation: object) -> str:
    """Return a type in the words of people; one that may be left out counts as what it holds."""
    if typing.get_origin(annotation) in {types.UnionType, typing.Union}:
        [annotation] = [each for each in typing.get_args(annotation) if each is not type(None)]
    return "JSON" if typing.get_origin(annotation) is dict else TYPES[annotation]


def default_of(name: str, default: object) -> str:
    """Return a default as it would be written in an environment."""
    value = default.get_secret_value() if isinstance(default, SecretStr) else default
    if name in BESIDE_THE_CODE:
        return "beside the code"
    if value is PydanticUndefined:
        return "must be given"
    if value is None or value in ("", {}):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def test_every_setting_is_documented_as_it_is() -> None:
    written = DOCUMENT.read_text().splitlines()
    wanted = document().splitlines()
    missing = [f"+ {line}" for line in wanted if line not in written]
    outdated = [f"- {line}" for line in written if line not in wanted]
    difference = "\n".join([*outdated, *missing]) or "the order of lines"
    assert written == wanted, f"write it anew: uv run python {THIS_FILE}\n{difference}"


def test_every_service_is_documented() -> None:
    found = {file.parent.name for file in ROOT.glob("services/*/*/settings.py")}
    assert found == set(SERVICES)


def test_every_setting_says_what_it_is() -> None:
    classes = [DatabaseSettings, *(import_module(f"{each}.settings").Settings for each in SERVICES)]
    fields = {name: field.description for each in classes for name, field in each.model_fields.items()}
    assert [name for name, description in fields.items() if not description or "|" in description] == []


if __name__ == "__main__":
    DOCUMENT.write_text(document())
