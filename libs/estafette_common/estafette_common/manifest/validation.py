"""The rules a manifest has to keep to be built: those of the reference, but all at once. Findings are errors."""

from collections.abc import Iterable

import re2

from estafette_common.manifest import model
from estafette_common.manifest.concurrency import Policy, fault_of_group
from estafette_common.manifest.disposal import faults_of_disposal
from estafette_common.manifest.findings import Findings
from estafette_common.manifest.preferences import Preferences
from estafette_common.manifest.versions import template_fault
from estafette_common.triggers import checking
from estafette_common.triggers.model import BUILD, Owner, WrittenTrigger


class Rules:
    """Checks one manifest that has its defaults."""

    def __init__(self, findings: Findings, preferences: Preferences) -> None:
        self._findings = findings
        self._preferences = preferences

    def check(self, manifest: model.Manifest) -> None:
        """Add everything that keeps the manifest from being built."""
        self._builder(manifest.builder, "builder")
        self._labels(manifest.labels)
        self._version(manifest.version)
        self._concurrency(manifest.concurrency)
        self._disposal(manifest.run_namespace.disposal)
        if not manifest.stages:
            self._findings.error(
                "no-stages", "stages", 'missing; write at least one stage with an image, as in "stages: {build: …}"'
            )
        self._stages(manifest.stages, "stages")
        self._triggers(manifest.triggers, BUILD, "triggers")
        for release in manifest.releases:
            self._job(release, manifest.builder, Owner("release", release.name), f"releases.{release.name}")
        for bot in manifest.bots:
            self._job(bot, manifest.builder, Owner("bot", bot.name), f"bots.{bot.name}")

    def _triggers(self, triggers: Iterable[WrittenTrigger], owner: Owner, path: str) -> None:
        for place, trigger in enumerate(triggers):
            for found in checking.check(trigger, owner):
                full = f"{path}[{place}].{found.path}".rstrip(".")
                tell = self._findings.error if found.severity == "error" else self._findings.warning
                tell(found.rule, full, found.message.removeprefix(f"{found.path}: "))

    def _job(self, job: model.Release | model.Bot, inherited: model.Builder, owner: Owner, path: str) -> None:
        if job.builder is not None and job.builder != inherited:
            self._builder(job.builder, f"{path}.builder")
        self._triggers(job.triggers, owner, f"{path}.triggers")
        self._stages(job.stages, f"{path}.stages")

    def _builder(self, builder: model.Builder, path: str) -> None:
        systems, tracks = self._preferences.operating_systems, self._preferences.tracks
        if builder.os not in systems:
            self._findings.error(
                "builder-os", f"{path}.os", f"{builder.os!r} is not offered; there are {', '.join(systems)}"
            )
        elif not tracks.get(builder.os):
            self._findings.error("builder-track", f"{path}.track", f"this server has no builders for {builder.os}")
        elif builder.track not in tracks[builder.os]:
            self._findings.error(
                "builder-track",
                f"{path}.track",
                f"{builder.track!r} is not offered for {builder.os}; there are {', '.join(tracks[builder.os])}",
            )

    def _labels(self, labels: dict[str, str]) -> None:
        for name, value in labels.items():
            pattern = self._preferences.label_regexes.get(name)
            if pattern is not None and not _matches(f"^{pattern.strip()}$", value):
                self._findings.error(
                    "label", f"labels.{name}", f"{value!r} is not what this server asks for: {pattern}"
                )

    def _version(self, version: model.Version) -> None:
        templates = {}
        if version.custom is not None:
            templates["version.custom.labelTemplate"] = version.custom.label_template
        elif version.semver is not None:
            templates["version.semver.patch"] = version.semver.patch
            templates["version.semver.labelTemplate"] = version.semver.label_template
        for path, template in templates.items():
            if fault := template_fault(template):
                self._findings.error("version-template", path, fault)

    def _concurrency(self, concurrency: model.Concurrency) -> None:
        if fault := fault_of_group(concurrency.group):
            self._findings.error("concurrency-group", "concurrency.group", fault)
        if concurrency.policy and concurrency.policy not in set(Policy):
            known = ", ".join(Policy)
            self._findings.error("concurrency-policy", "concurrency.policy", f"no policy; there are {known}")

    def _disposal(self, disposal: model.Disposal) -> None:
        for key, fault in faults_of_disposal(disposal).items():
            self._findings.error("run-namespace", f"runNamespace.disposal.{key}", fault)

    def _stages(self, stages: tuple[model.Stage, ...], path: str) -> None:
        for stage in stages:
            full = f"{path}.{stage.name}"
            if stage.parallel_stages:
                self._wrapper(stage, full)
            elif not stage.image and not stage.services:
                self._findings.error(
                    "no-image", f"{full}.image", 'missing; write "image: …", as in "image: golang:1.22"'
                )

    def _wrapper(self, stage: model.Stage, path: str) -> None:
        for key, value in {
            "image": stage.image,
            "shell": stage.shell,
            "workDir": stage.work_dir,
            "commands": stage.commands,
            "env": stage.env,
        }.items():
            if value:
                self._findings.error(
                    "parallel-clash", f"{path}.{key}", "not beside parallelStages; move it into the stages below"
                )


def _matches(pattern: str, text: str) -> bool:
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options).search(text) is not None
    except re2.error:
        return False
