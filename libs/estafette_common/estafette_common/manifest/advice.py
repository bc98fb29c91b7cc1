"""What a manifest may say but probably does not mean: the reference accepts it in silence. Findings are warnings."""

from collections.abc import Iterator

import re2

from estafette_common.manifest import attempts, model, when
from estafette_common.manifest.findings import Findings

NO_TAG = "names no tag, so what it runs may change from build to build; write one that stays, as in golang:1.22"


def give(manifest: model.Manifest, findings: Findings) -> None:
    """Add what is worth a second look in a manifest that has its defaults."""
    for path, stage in _all_stages(manifest):
        _stage(stage, path, findings)
    if manifest.version.semver is not None:
        for branch in manifest.version.semver.release_branch:
            _expression(branch, "version.semver.releaseBranch", findings)


def _all_stages(manifest: model.Manifest) -> Iterator[tuple[str, model.Stage]]:
    jobs: list[tuple[str, tuple[model.Stage, ...]]] = [("stages", manifest.stages)]
    jobs += [(f"releases.{release.name}.stages", release.stages) for release in manifest.releases]
    jobs += [(f"bots.{bot.name}.stages", bot.stages) for bot in manifest.bots]
    for path, stages in jobs:
        for stage in stages:
            yield f"{path}.{stage.name}", stage


def _stage(stage: model.Stage, path: str, findings: Findings) -> None:
    _when(stage.when, path, findings)
    _image(stage.image, path, findings)
    _attempts(stage, path, findings)
    for inner in stage.parallel_stages:
        _inner(inner, f"{path}.parallelStages.{inner.name}", findings)
    for place, service in enumerate(stage.services):
        _service(service, f"{path}.services[{place}]", findings)


def _inner(stage: model.Stage, path: str, findings: Findings) -> None:
    if stage.parallel_stages:
        findings.warning("no-effect", f"{path}.parallelStages", "only one level runs at once; move them out")
    elif not stage.image and not stage.services:
        findings.warning("no-image", f"{path}.image", "missing, so this stage cannot run; write image: …")
    _when(stage.when, path, findings)
    _image(stage.image, path, findings)
    _attempts(stage, path, findings)


def _attempts(stage: model.Stage, path: str, findings: Findings) -> None:
    for read in (attempts.timeout, attempts.retries, attempts.resumable):
        try:
            read(stage)
        except attempts.AttemptsError as error:
            findings.warning("attempts", f"{path}.{read.__name__}", f"{error}; as it is, it has no effect")


def _service(service: model.Service, path: str, findings: Findings) -> None:
    for key, value in {"name": service.name, "image": service.image}.items():
        if not value:
            findings.warning("service", f"{path}.{key}", f"missing, so this service cannot run; write {key}: …")
    _when(service.when, path, findings)
    _image(service.image, path, findings)
    for key, probe in {"readiness": service.readiness, "readinessProbe": service.readiness_probe}.items():
        if probe is not None and probe.exec is not None and not probe.exec.command:
            findings.warning("readiness", f"{path}.{key}.exec", "has no command, so it can never succeed")
        if probe is not None and probe.http_get is not None and probe.exec is not None:
            findings.warning("readiness", f"{path}.{key}", "has httpGet and exec; only httpGet is asked")


def _when(text: str, path: str, findings: Findings) -> None:
    try:
        when.check(text)
    except when.WhenError as error:
        place = f"at character {error.column} of {text[:100]!r}"
        findings.warning("when", f"{path}.when", f"{error.reason} ({place}), so the build fails")


def _image(image: str, path: str, findings: Findings) -> None:
    if not image or "${" in image or "@" in image:
        return
    tag = image.rpartition("/")[2].partition(":")[2]
    if tag in {"", "latest"}:
        findings.warning("image-tag", f"{path}.image", f"{image} {NO_TAG}")


def _expression(text: str, path: str, findings: Findings) -> None:
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(text.strip(), options)
    except re2.error:
        findings.warning("regex", path, f"{text!r} is no regular expression (RE2), so it matches nothing")
