"""What every key of a manifest means: the source of the JSON Schema and of the tables in docs/manifest.md."""

from typing import NamedTuple

from estafette_common.manifest import model
from estafette_common.triggers import model as triggers


class Key(NamedTuple):
    """The meaning of a key, and what it is when left out; both as Markdown."""

    meaning: str
    default: str = ""


NAME = "a name, unique among its kind"
BOOL = "`false`"
MAIN = "`master\\|main`"
EVENT, STATUS = "`finished`", "`succeeded`"
PIPELINE = "`source/owner/name` of a pipeline, or `self`"

KEYS: dict[type, dict[str, Key]] = {
    model.Manifest: {
        "archived": Key("hides the pipeline, and no trigger of it fires", BOOL),
        "builder": Key("where jobs run"),
        "labels": Key("free texts to find pipelines by; each becomes `ESTAFETTE_LABEL_<NAME>`", "none"),
        "version": Key("how builds are numbered", "`semver`"),
        "concurrency": Key("what becomes of jobs while others of their group are there", "the server's"),
        "runNamespace": Key("a Kubernetes namespace that each build has for itself", "none"),
        "env": Key("variables of every stage and service", "none"),
        "triggers": Key("what starts a build beside pushes to the repository", "none"),
        "stages": Key("what a build runs, in this order", "must be given"),
        "releases": Key("targets that a version can be released to", "none"),
        "releaseTemplates": Key("what several releases share", "none"),
        "bots": Key("jobs that run by triggers alone", "none"),
    },
    model.Builder: {
        "track": Key("version of the builder, and of the stages it adds", "the server's first, `stable`"),
        "os": Key("`linux` or `windows`", "the server's first, `linux`"),
        "medium": Key("`memory`: the workspace lies in memory", "the disk"),
        "type": Key("what runs the stages", "`docker`"),
    },
    model.Version: {
        "semver": Key("three numbers and a label"),
        "custom": Key("any text; wins over `semver`"),
    },
    model.Semver: {
        "major": Key("a whole number", "`0`"),
        "minor": Key("a whole number", "`0`"),
        "patch": Key("a template", "`{{auto}}`"),
        "labelTemplate": Key("a template for what follows the numbers off a release branch", "`{{branch}}`"),
        "releaseBranch": Key(
            "one or several regular expressions for the whole name of a branch", "`master` and `main`"
        ),
    },
    model.Custom: {"labelTemplate": Key("a template for the whole version", "`{{revision}}`")},
    model.Concurrency: {
        "group": Key("jobs of one group exclude each other; `{{branch}}` stands for the branch", "`{{branch}}`"),
        "policy": Key("`queue-all`, `queue-latest`, `cancel-superseded` or `parallel`", "the server's, `parallel`"),
    },
    model.RunNamespace: {
        "ephemeral": Key("each build gets a namespace of its own", BOOL),
        "scaleToZero": Key("what runs in it is ended with the build; the objects are kept", "`true`"),
        "disposal": Key("when it is removed", "at once"),
    },
    model.Disposal: {
        "after": Key("`always`, `success`, `reported` or `never`", "`always`"),
        "ttl": Key("how much longer it is kept, as in `90s` or `24h`", "`0s`"),
        "keepLast": Key("so many of the newest of the pipeline are kept all the same", "`0`"),
    },
    triggers.WrittenTrigger: {
        "name": Key("hands the last matching build or release to stages as `ESTAFETTE_TRIGGER_<NAME>_…`", "none"),
        "pipeline": Key("builds of a pipeline"),
        "release": Key("releases of a pipeline"),
        "git": Key("pushes to another repository"),
        "docker": Key("tags in a container registry"),
        "cron": Key("times"),
        "pubsub": Key("messages of Google Pub/Sub"),
        "github": Key("events of GitHub"),
        "bitbucket": Key("events of Bitbucket"),
        "builds": Key("what a trigger at the top level starts"),
        "releases": Key("what a trigger of a release starts"),
        "runs": Key("what a trigger of a bot starts"),
    },
    triggers.PipelineTrigger: {
        "event": Key("`started` or `finished`", EVENT),
        "status": Key("`succeeded` or `failed`; only when finished", STATUS),
        "name": Key(PIPELINE, "must be given"),
        "branch": Key("a pattern", MAIN),
    },
    triggers.ReleaseTrigger: {
        "event": Key("`started` or `finished`", EVENT),
        "status": Key("`succeeded` or `failed`; only when finished", STATUS),
        "name": Key(PIPELINE, "must be given"),
        "target": Key("a pattern for the release target", "must be given"),
    },
    triggers.GitTrigger: {
        "event": Key("`push`", "`push`"),
        "repository": Key("`source/owner/name`", "must be given"),
        "branch": Key("a pattern", MAIN),
    },
    triggers.DockerTrigger: {
        "event": Key("taken for the reference's sake; has no effect"),
        "image": Key("the image to watch", "must be given, with `policy`"),
        "tag": Key("the tag to start from", "the first that is seen"),
        "policy": Key(
            "`all`, `major`, `minor`, `patch`, `force`, `never`, `glob:<pattern>` or `regexp:<pattern>`", "never fires"
        ),
        "matchTag": Key("`force` waits for another image under the same tag", BOOL),
        "matchPreRelease": Key("what follows the numbers, as in `1.22-alpine`, has to stay", "`true`"),
        "fireOnFirst": Key("fires for the first tag that is seen, too", BOOL),
    },
    triggers.CronTrigger: {
        "schedule": Key("five fields, `@daily` and the like, or `@every <duration>`", "must be given"),
        "timezone": Key("on whose clock, as in `Europe/Amsterdam`", "UTC"),
        "missed": Key("which of the times that came while the server was away are made up for", "`once`"),
    },
    triggers.PubSubTrigger: {
        "project": Key("a regular expression", "must be given"),
        "topic": Key("a regular expression", "must be given"),
    },
    triggers.GithubTrigger: {
        "events": Key("names as in `X-GitHub-Event`", "must be given"),
        "repository": Key(PIPELINE, "`self`"),
    },
    triggers.BitbucketTrigger: {
        "events": Key("names as in `X-Event-Key`", "must be given"),
        "repository": Key(PIPELINE, "`self`"),
    },
    triggers.BuildAction: {"branch": Key("the branch to build", "the server's, `master`")},
    triggers.ReleaseAction: {
        "target": Key("always the release it stands in"),
        "action": Key("one of the actions of the release", "none"),
        "version": Key(
            "`latest`, `same` (as the event's), `current` (what is live) or a version",
            "`same` for triggers by `self`, else `latest`",
        ),
    },
    triggers.RunAction: {
        "bot": Key("always the bot it stands in"),
        "branch": Key("the branch to run on", "the server's, `master`"),
    },
    model.Stage: {
        "image": Key("what it runs in", "must be given, unless it has services or parallel stages"),
        "shell": Key("what runs the commands", "`/bin/sh`; `powershell` on Windows"),
        "workDir": Key(
            "where the workspace is in the container, and where commands start",
            "`/estafette-work`; `C:/estafette-work` on Windows",
        ),
        "commands": Key("run one after the other; the first that fails ends the stage", "the image's own program"),
        "runCommandsInForeground": Key("commands run without job control of the shell", BOOL),
        "when": Key("whether it runs", "`status == 'succeeded'`"),
        "env": Key("variables, over those of the manifest", "none"),
        "autoInjected": Key("marks it in logs as not written by its author", BOOL),
        "parallelStages": Key("stages that run at once; beside them only `when`, `services` and properties", "none"),
        "services": Key("containers that run beside it", "none"),
    },
    model.Service: {
        "name": Key("its host name", "must be given"),
        "image": Key("what it runs in", "must be given"),
        "shell": Key("what runs the commands", "`/bin/sh`; `powershell` on Windows"),
        "commands": Key("what it runs", "the image's own program"),
        "runCommandsInForeground": Key("commands run without job control of the shell", BOOL),
        "multiStage": Key("runs on beside the stages that follow", "`true` if its stage has no image"),
        "when": Key("whether it runs", "`status == 'succeeded'`"),
        "env": Key("variables, over those of the manifest", "none"),
        "readiness": Key("its stage waits until it is ready", "does not wait"),
        "readinessProbe": Key("the same", "does not wait"),
    },
    model.Probe: {
        "httpGet": Key("an HTTP request that has to succeed"),
        "exec": Key("a command in the service that has to succeed"),
        "timeoutSeconds": Key("how long to wait", "`60`"),
        "path": Key("old form of `httpGet.path`", "only the port is asked"),
        "port": Key("old form of `httpGet.port`", "`80`"),
        "protocol": Key("old form of `httpGet.scheme`", "`https` for port 443, else `http`"),
        "hostname": Key("old form of `httpGet.host`", "the service"),
    },
    model.HttpGet: {
        "path": Key("of the URL"),
        "port": Key("of the URL", "`80`"),
        "host": Key("of the URL", "the service"),
        "scheme": Key("of the URL", "`https` for port 443, else `http`"),
    },
    model.Exec: {"command": Key("a program and its arguments", "must be given")},
    model.Action: {"name": Key("a way to release", "must be given"), "hideBadge": Key("shows no badge for it", BOOL)},
    model.Release: {
        "builder": Key("where it runs; what it leaves out is the server's default", "the manifest's"),
        "clone": Key("clones the repository before its stages", BOOL),
        "actions": Key("ways to release, as in `- name: canary`", "none"),
        "triggers": Key("what starts a release", "none"),
        "stages": Key("what a release runs, in this order", "none"),
        "template": Key("takes every part that is left out here from a release template", "none"),
    },
    model.Bot: {
        "builder": Key("where it runs; what it leaves out is the server's default", "the manifest's"),
        "clone": Key("clones the repository before its stages", BOOL),
        "triggers": Key("what runs it", "none"),
        "stages": Key("what it runs, in this order", "none"),
    },
}

ITEMS: dict[tuple[type, str], type] = {
    (model.Manifest, "triggers"): triggers.WrittenTrigger,
    (model.Manifest, "stages"): model.Stage,
    (model.Manifest, "releases"): model.Release,
    (model.Manifest, "releaseTemplates"): model.Release,
    (model.Manifest, "bots"): model.Bot,
    (model.Stage, "parallelStages"): model.Stage,
    (model.Stage, "services"): model.Service,
    (model.Release, "actions"): model.Action,
    (model.Release, "triggers"): triggers.WrittenTrigger,
    (model.Release, "stages"): model.Stage,
    (model.Bot, "triggers"): triggers.WrittenTrigger,
    (model.Bot, "stages"): model.Stage,
}
"""What lists and maps of named things hold."""
