"""PURE: every small deliberate bug of a module that can be made without thinking, in the order of its lines."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

SWAPPED: dict[type[ast.cmpop], ast.cmpop] = {
    ast.Lt: ast.LtE(),
    ast.LtE: ast.Lt(),
    ast.Gt: ast.GtE(),
    ast.GtE: ast.Gt(),
    ast.Eq: ast.NotEq(),
    ast.NotEq: ast.Eq(),
    ast.In: ast.NotIn(),
    ast.NotIn: ast.In(),
    ast.Is: ast.IsNot(),
    ast.IsNot: ast.Is(),
}


@dataclass(frozen=True)
class Mutant:
    """A module with one thing changed: which kind of change, in which line, and the whole new text."""

    path: str
    kind: str
    line: int
    text: str


def mutants(path: str, text: str) -> Iterator[Mutant]:
    """All mutants of the module, each of which Python can read; the same every time."""
    lines = text.splitlines(keepends=True)
    for node in ast.walk(ast.parse(text)):
        for kind, new in _changes(node):
            changed = _with(lines, node if kind != "negate" else node.test, new)  # type: ignore[attr-defined, arg-type]  # what changes has a place
            try:
                ast.parse(changed)
            except SyntaxError:
                continue
            if changed != text:
                yield Mutant(path, kind, node.lineno, changed)  # type: ignore[attr-defined]  # only located nodes change


def _changes(node: ast.AST) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        yield "negate", f"not ({ast.unparse(node.test)})"
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        swapped = ast.Compare(node.left, [SWAPPED[type(node.ops[0])]], node.comparators)
        yield "compare", ast.unparse(swapped)
    if isinstance(node, ast.BoolOp):
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield "connect", f"({ast.unparse(ast.BoolOp(other, node.values))})"
    is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Expr | ast.Assign | ast.AugAssign | ast.Delete) and not (is_docstring or _names(node)):
        yield "drop", "pass"
    if isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):
        for nothing in ("[]", "None", "True", "False"):
            if ast.unparse(node.value) != nothing:
                yield "return", f"return {nothing}"


def _names(node: ast.stmt) -> bool:
    """Whether it gives a name to something: without it, whoever uses the name ends in an error that proves nothing."""
    targets = node.targets if isinstance(node, ast.Assign) else ()
    return any(isinstance(one, ast.Name) for target in targets for one in ast.walk(target) if _is_stored(one))


def _is_stored(node: ast.AST) -> bool:
    return isinstance(getattr(node, "ctx", None), ast.Store)


def _with(lines: list[str], node: ast.stmt | ast.expr, new: str) -> str:
    """The module's text with the node's text replaced; columns count bytes of UTF-8."""
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    head = lines[first].encode()[: node.col_offset].decode()
    tail = lines[last].encode()[node.end_col_offset :].decode()
    return "".join([*lines[:first], head + new + tail, *lines[last + 1 :]])
