"""`when`: whether a stage runs. A small expression language over a few text variables.

Variables are bound as values, never pasted into the text: the name of a branch cannot rewrite an expression. The
operators and their precedence are those of govaluate 3.0, which the reference uses.
"""

from estafette_common.manifest.when.checking import check
from estafette_common.manifest.when.evaluation import evaluate, variables_of
from estafette_common.manifest.when.grammar import DEEPEST, LONGEST, NAMES, Expression, WhenError, parse
from estafette_common.manifest.when.naming import names

__all__ = [
    "DEEPEST",
    "LONGEST",
    "NAMES",
    "Expression",
    "WhenError",
    "check",
    "evaluate",
    "names",
    "parse",
    "variables_of",
]
