"""Cases about what the builder and the server do with a manifest: conditions, variables, secrets, injection, trust."""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import yaml
from builder.entrypoint import modes
from builder.masking import Masker
from builder.statuses import of_steps
from estafette_common.jobs.lifecycle import Kind, StageStatus
from estafette_common.jobs.origin import origin
from estafette_common.jobs.plan import Plan, PlannedStage, Repository, Version
from estafette_common.manifest import injection, reading, secrets, trust, when
from estafette_common.manifest.environment import (
    dns_safe,
    event_variables,
    expand,
    job_variables,
    label_variables,
    lower_snake,
    stage_variables,
    upper_snake,
)
from estafette_common.manifest.extensions import extension_variables
from estafette_common.manifest.model import Stage

from tests.conformance import manifest_cases

Case = Mapping[str, Any]

AT = datetime(2021, 6, 7, tzinfo=UTC)
PLAN = Plan(
    kind=Kind.BUILD,
    job_id="1",
    repository=Repository(source="github.com", owner="acme", name="billing"),
    branch="main",
    revision="c0ffee",
    clone_url="",
    version=Version(version="1.2.3", counter=3),
    stages=(),
)


def run(case: Case) -> dict[str, Any]:
    """Return the outcome of a case in the shape of what it expects."""
    given, expected = case["input"], case["expect"]
    try:
        outcome = OPERATIONS[given["op"]](given, expected)
    except (when.WhenError, secrets.SecretError):
        outcome = {"ok": False, "result": False}
    told = {key: outcome.get(key) for key in expected if key not in {"error", "reference"}}
    return told | {key: value for key, value in expected.items() if key in {"error", "reference"}}


def _when(given: Case, _: Case) -> dict[str, Any]:
    return {"ok": True, "result": when.evaluate(given["when"], given["params"] | given.get("env", {}))}


def _override(given: Case, _: Case) -> dict[str, Any]:
    """Run a case about which variables win: those of the job are labels here, whose names can be chosen."""
    prefix = "ESTAFETTE_LABEL_"
    of_job, of_manifest, of_stage, of_extension = given["maps"]
    manifest, stage, extension = (
        {f"{prefix}{name}": value for name, value in each.items()} for each in (of_manifest, of_stage, of_extension)
    )
    plan = PLAN.model_copy(update={"labels": of_job, "env": manifest})
    planned = PlannedStage(name="any", env=stage)
    variables = stage_variables(plan, planned, status="succeeded", started_at=AT, open_secrets=str) | extension
    return {"env": {name.removeprefix(prefix): value for name, value in variables.items() if name.startswith(prefix)}}


def _labels(given: Case, _: Case) -> dict[str, Any]:
    return {"ok": True, "env": given.get("env", {}) | label_variables(given["labels"])}


def _config(given: Case, expected: Case) -> dict[str, Any]:
    config = given["config"]
    kind = Kind(config["jobType"])
    body = config.get(kind.value) or {}
    git, version = config.get("git", {}), config.get("version", {})
    plan = Plan(
        kind=kind,
        job_id=str(body.get("id", "")),
        repository=Repository(
            source=git.get("repoSource", ""), owner=git.get("repoOwner", ""), name=git.get("repoName", "")
        ),
        branch=git.get("repoBranch", ""),
        revision=git.get("repoRevision", ""),
        clone_url="",
        version=Version(
            version=version.get("version", ""),
            major=version.get("major"),
            minor=version.get("minor"),
            patch=version.get("patch"),
            label=version.get("label"),
            counter=version.get("currentCounter", 0),
            max_counter=version.get("maxCounter", 0),
            max_counter_current_branch=version.get("maxCounterCurrentBranch", 0),
        ),
        target=body.get("name", ""),
        action=body.get("action", ""),
        events=tuple(config.get("triggerEvents", ())),
        stages=(),
        server_url=config.get("ciServer", {}).get("baseUrl", ""),
    )
    variables = job_variables(plan, status="succeeded", started_at=AT)
    return {
        "ok": True,
        "env_contains": {name: variables.get(name) for name in expected.get("env_contains", {})},
        "env_absent": [name for name in expected.get("env_absent", ()) if name not in variables],
    }


def _extension(given: Case, _: Case) -> dict[str, Any]:
    [stage] = reading.parse(given["yaml"]).stages
    return {"env": extension_variables(stage.custom, stage.env)}


def _decrypt(given: Case, _: Case) -> dict[str, Any]:
    envelope = f"estafette.secret({given['text']})"
    key = _key(given)
    return {
        "ok": True,
        "value": secrets.decrypt(envelope, key=key, pipeline=given["pipeline"]),
        "allowList": secrets.allow_list(envelope, key=key),
    }


def _decrypt_envelope(given: Case, _: Case) -> dict[str, Any]:
    key = _key(given)
    return {
        "ok": True,
        "value": secrets.decrypt(given["text"], key=key, pipeline=given["pipeline"]),
        "allowList": secrets.allow_list(given["text"], key=key),
    }


def _decrypt_all(given: Case, _: Case) -> dict[str, Any]:
    opened = secrets.open_all(given["text"], key=_key(given), pipeline=given["pipeline"])
    return {"ok": not opened.faults, "value": opened.text}


def _decrypt_in_builder(given: Case, _: Case) -> dict[str, Any]:
    return {"value": secrets.decrypt_all(given["text"], key=_key(given), pipeline=given["pipeline"])}


def _encrypt(given: Case, _: Case) -> dict[str, Any]:
    envelope = secrets.encrypt(given["text"], key=_key(given), allow_list=given.get("allowList") or ".*")
    parts = envelope.removeprefix("estafette.secret(").removesuffix(")").split(".")
    return {"ok": True, "parts": len(parts), "nonceLen": len(parts[0])}


def _reencrypt(given: Case, _: Case) -> dict[str, Any]:
    new_key = bytes(range(32))
    rotated = secrets.rotate(given["text"], key=(new_key, _key(given)))
    return {"ok": True, "value": secrets.decrypt_all(rotated, key=new_key, pipeline=given["pipeline"])}


def _envelopes(given: Case, _: Case) -> dict[str, Any]:
    found = [each[0] for each in secrets.ENVELOPE.finditer(given["text"])]
    opened = {each: secrets.open_all(each, key=_key(given), pipeline=given["pipeline"]) for each in found}
    values = [each.text for each in opened.values() if not each.faults]
    payloads = [each.removeprefix("estafette.secret(").removesuffix(")") for each in found]
    invalid = [each for each, result in opened.items() if result.faults]
    return {"ok": True, "envelopes": found, "payloads": payloads, "values": values, "invalid": invalid}


def _inject(given: Case, expected: Case) -> dict[str, Any]:
    configured = yaml.safe_load(given.get("apiServer") or "{}") or {}
    injected = injection.inject(
        reading.read(given["yaml"]),
        injection.Forge(name=given["gitSource"], takes_statuses=given["supportsBuildStatus"], track=given["track"]),
        msgspec.convert(configured, injection.Injections),
    )
    return {"ok": True} | manifest_cases.described(manifest_cases.tree(injected), expected)


def _filter(given: Case, _: Case) -> dict[str, Any]:
    images, credentials = _trust(given["config"])
    stages = [_stage(each) for each in given["stages"]]
    used = trust.used(images, trust.images_of(stages), pipeline=given["pipeline"])
    granted = trust.granted(credentials, used, pipeline=given["pipeline"], branch=given["branch"])
    return {"trustedImages": [each.path for each in used], "credentials": [each.name for each in granted]}


def _credential_files(given: Case, _: Case) -> dict[str, Any]:
    images, credentials = _trust(given["config"])
    files = trust.files(given["image"], images, credentials, given.get("env", {}), open_secrets=str)
    return {
        "trusted": trust.trusted(given["image"], images) is not None,
        "files": files,
        "file_names": list(files),
        "mount": "/credentials" if files else "",
    }


def _trust(config: Case) -> tuple[list[trust.TrustedImage], list[trust.Credential]]:
    return (
        msgspec.convert(config.get("trustedImages") or [], list[trust.TrustedImage]),
        msgspec.convert(config.get("credentials") or [], list[trust.Credential]),
    )


def _stage(tree: Case) -> Stage:
    return Stage(
        name=tree.get("Name", ""),
        image=tree.get("ContainerImage", ""),
        parallel_stages=tuple(_stage(each) for each in tree.get("ParallelStages") or ()),
        services=msgspec.convert(
            [
                {"name": each.get("Name", ""), "image": each.get("ContainerImage", "")}
                for each in tree.get("Services") or ()
            ],
            Stage.__annotations__["services"],
        )
        if tree.get("Services")
        else (),
    )


def _obfuscate(given: Case, _: Case) -> dict[str, Any]:
    texts = [given["yaml"], *(str(each["additionalProperties"]) for each in given["credentials"])]
    values = [
        value for text in texts for value in secrets.plain_values(text, key=_key(given), pipeline=given["pipeline"])
    ]
    return {"ok": True, "lines": [Masker(values)(line) for line in given["lines"]]}


def _entrypoint(given: Case, _: Case) -> dict[str, Any]:
    return {"modes": [mode.value for mode in modes(tuple(given["commands"]), foreground=given["foreground"])]}


def _aggregate(given: Case, _: Case) -> dict[str, Any]:
    outcome = of_steps((each["step"], StageStatus(each["status"])) for each in given["steps"])
    status = outcome.status.value if outcome else ""
    return {
        "aggregated": {"": "UNKNOWN"}.get(status, status.upper()),
        "status": status,
        "succeeded": status == "succeeded",
    }


def _key(given: Case) -> bytes:
    return base64.b64decode(given["key"]) if given.get("base64Key") else str(given["key"]).encode()


OPERATIONS = {
    "when": _when,
    "when_params": lambda given, _: {"params": when.variables_of(given["env"], server=given["server"])},
    "override": _override,
    "labels_env": _labels,
    "events_env": lambda given, _: {"env": event_variables(given["events"])},
    "builder_config_env": _config,
    "extension_env": _extension,
    "expand": lambda given, _: {"value": expand(given["value"], given.get("env", {}))},
    "upper_snake": lambda given, _: {"value": upper_snake(given["value"])},
    "lower_snake": lambda given, _: {"value": lower_snake(given["value"])},
    "origin": lambda given, _: origin(given["url"])._asdict(),
    "dns_safe": lambda given, _: {"value": dns_safe(given["value"])},
    "decrypt": _decrypt,
    "decrypt_envelope": _decrypt_envelope,
    "decrypt_all": _decrypt_all,
    "builder_decrypt": _decrypt_in_builder,
    "encrypt": _encrypt,
    "reencrypt": _reencrypt,
    "envelopes": _envelopes,
    "inject": _inject,
    "filter": _filter,
    "credentials_files": _credential_files,
    "obfuscate": _obfuscate,
    "aggregate": _aggregate,
    "entrypoint": _entrypoint,
}
