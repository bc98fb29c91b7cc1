"""Whether an expression holds, given the values of its variables."""

from collections.abc import Callable, Mapping
from typing import Any

from lark import Token, Tree

from estafette_common.manifest.when import operators
from estafette_common.manifest.when.grammar import WhenError, column, known_name, parse, unquoted


def evaluate(text: str, variables: Mapping[str, str]) -> bool:
    """Return whether the expression holds; WhenError when it is not valid or neither true nor false.

    `variables` holds `branch`, `status`, `action`, `server`, `trigger` and any ESTAFETTE_ variable; what is missing is
    empty.
    """
    result = _Evaluation(variables).value(parse(text).tree)
    if not isinstance(result, bool):
        raise WhenError(operators.NO_TRUTH)
    return result


def variables_of(environment: Mapping[str, str], *, server: str) -> dict[str, str]:
    """Return the variables of an expression, from the ESTAFETTE_ variables of a job; what is missing is empty."""
    return {
        "branch": environment.get("ESTAFETTE_GIT_BRANCH", ""),
        "status": environment.get("ESTAFETTE_BUILD_STATUS", ""),
        "action": environment.get("ESTAFETTE_RELEASE_ACTION", ""),
        "trigger": environment.get("ESTAFETTE_TRIGGER", ""),
        "server": server,
    }


class _Evaluation:
    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    def value(self, tree: Any) -> Any:
        """Return a text, a float, or true or false."""
        found: Callable[[Tree[Token]], Any] = getattr(self, f"_{tree.data}")
        return found(tree)

    def _text(self, tree: Tree[Token]) -> str:
        return operators.REFERENCE.sub(lambda found: self._named(found[0]), unquoted(tree))

    def _number(self, tree: Tree[Token]) -> float:
        return operators.number(tree)

    def _true(self, _: Tree[Token]) -> bool:
        return True

    def _false(self, _: Tree[Token]) -> bool:
        return False

    def _variable(self, tree: Tree[Token]) -> str:
        return self._variables.get(known_name(tree), "")

    def _reference(self, tree: Tree[Token]) -> str:
        return self._named(str(tree.children[0]))

    def _named(self, reference: str) -> str:
        return self._variables.get(reference.strip("${}"), "")

    def _ternary(self, tree: Tree[Token]) -> Any:
        condition, then, otherwise = tree.children
        return self.value(then if self._truth(condition) else otherwise)

    def _otherwise(self, tree: Tree[Token]) -> Any:
        """No variable is ever nothing, so the left side it is."""
        return self.value(tree.children[0])

    def _either(self, tree: Tree[Token]) -> bool:
        return any(self._truth(child) for child in tree.children)

    def _both(self, tree: Tree[Token]) -> bool:
        return all(self._truth(child) for child in tree.children)

    def _member(self, tree: Tree[Token]) -> bool:
        value, *options = (self.value(child) for child in tree.children)
        return any(operators.equal(value, option) for option in options)

    def _prefix(self, tree: Tree[Token]) -> Any:
        sign, operand = tree.children
        if sign == "!":
            return not self._truth(operand)
        value = self.value(operand)
        if not isinstance(value, float):
            raise WhenError(f"only a number can follow {sign}", column=column(operand))
        return operators.PREFIXES[str(sign)](value)

    def _compared(self, tree: Any) -> bool:
        left, sign, right = tree.children
        one, other = self.value(left), self.value(right)
        if sign in {"==", "!="}:
            return operators.equal(one, other) is (sign == "==")
        if sign in {"=~", "!~"}:
            return operators.matched(sign, one, other) is (sign == "=~")
        operators.check_order(sign, type(one), type(other))
        return operators.ORDERS[str(sign)](one, other)

    def _calculated(self, tree: Any) -> Any:
        left, sign, right = tree.children
        return operators.calculated(sign, self.value(left), self.value(right))

    def _truth(self, tree: Any) -> bool:
        value = self.value(tree)
        if not isinstance(value, bool):
            raise WhenError("both sides of && and || and what follows ! must be true or false", column=column(tree))
        return value
