"""Cases of the reference that come out otherwise here, on purpose: what is done instead, and why."""

from typing import NamedTuple


class Difference(NamedTuple):
    """What is done instead of what a case expects."""

    here: str
    why: str


DIFFERENCES = {
    "credentials-014": Difference("an image named by its digest is trusted by its name", "it is that image"),
    "crypt-041": Difference(
        "a secret restricted to another repository stays closed, unless that is switched on",
        "whoever owns a repository of that name at GitHub could open it",
    ),
    "crypt-045": Difference(
        "an allow list is matched whole, also where it has alternatives", "`a|b` would open for `a-extra`"
    ),
    "crypt-049": Difference(
        "a secret that cannot be opened fails the stage, in words that say why",
        "the stage would take its envelope for the password",
    ),
    "entrypoint-016": Difference("a command of several lines is run whole", "only its first line would run"),
    "env-020": Difference("`$$` is left to the shell", "values with it, such as secrets, would be damaged"),
    "env-052": Difference(
        "hyphens in a DNS label always stand alone", "doubled ones are meant to be joined, and one pass misses some"
    ),
    "env-071": Difference(
        "`ESTAFETTE_BUILD_VERSION_PATCH` is the patch, also where that is no counter", "it is what it is called"
    ),
    "obfuscate-009": Difference("the longest secret is hidden first", "its tail would stay readable"),
    "obfuscate-011": Difference(
        "a secret is also hidden within what was encoded in base64 as a whole", "it can be decoded from there"
    ),
    "run-012": Difference("a condition that is broken fails its stage, also the last", "the build would never end"),
    "run-029": Difference(
        "a service of the last stage whose condition does not hold is passed over", "the build would never end"
    ),
    "trigger-065": Difference("a Bitbucket trigger fires for the events it lists, not for all", "it is what it says"),
    "trigger-080": Difference(
        "`@every` fires at each multiple of its duration, not only when that is a minute", "it is what it says"
    ),
    "version-039": Difference(
        "a label is not HTML-escaped before it is made a DNS label", "the apostrophe of `it's` would become `39`"
    ),
    "version-040": Difference(
        "a placeholder that means nothing is told when the manifest is read",
        "the text of the error would be the version",
    ),
    "version-047": Difference(
        "hyphens in a label always stand alone", "doubled ones are meant to be joined, and one pass misses some"
    ),
    "version-050": Difference("a label that is cut off never ends in a hyphen", "it would be no DNS label"),
    "version-052": Difference(
        "a release branch is matched whole, also where it has alternatives", "`master|trunk` would match `masterpiece`"
    ),
    "version-053": Difference(
        "a release branch is matched whole, also where it has alternatives", "`master|trunk` would match `not-trunk`"
    ),
    "when-050": Difference("a text that looks like a date stays a text", "the condition could never hold"),
    "when-057": Difference(
        "variables are values, never text of the condition", "the name of a branch could rewrite it"
    ),
}
"""By the id of the case."""

STRICTER = {"crypt-049", "obfuscate-011"}
"""Those that are not marked as defects of the reference."""
