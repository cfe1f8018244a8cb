"""PURE: every small deliberate bug of a module that can be made without thinking, in the order of its lines."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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
NOTHINGS = {
    "bool": ("True", "False"),
    "None": ("None",),
    "list": ("[]",),
    "dict": ("{}",),
    "set": ("set()",),
    "frozenset": ("frozenset()",),
    "tuple": ("()",),
    "str": ("''",),
    "int": ("0",),
    "float": ("0.0",),
}


@dataclass(frozen=True)
class Mutant:
    """A module with one thing changed: which kind of change, in which line and function, and the whole new text."""

    path: str
    kind: str
    line: int
    text: str
    function: str
    old: str
    new: str

    @property
    def change(self) -> str:
        """What is changed where, in words that stay the same when other lines of the module move."""
        return f"{Path(self.path).stem}.{self.function}: {self.old} -> {self.new}"


def mutants(path: str, text: str) -> Iterator[Mutant]:
    """All mutants of the module, each of which Python can read; the same every time."""
    lines = text.splitlines(keepends=True)
    for function, returns, node in _located(ast.parse(text), "", ""):
        for kind, new in _changes(node, returns):
            place: ast.stmt | ast.expr = node if kind != "negate" else node.test  # type: ignore[attr-defined, assignment]  # what changes has a place
            changed = _with(lines, place, new)
            try:
                ast.parse(changed)
            except SyntaxError:
                continue
            if changed != text:
                old = " ".join((ast.get_source_segment(text, place) or "").split())
                yield Mutant(path, kind, place.lineno, changed, function, old, new)


def _located(node: ast.AST, function: str, returns: str) -> Iterator[tuple[str, str, ast.AST]]:
    """Every node, with the class and function that it stands in, and what the function says that it returns."""
    for child in ast.iter_child_nodes(node):
        inner, kind = function, returns
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            inner = f"{function}.{child.name}".lstrip(".")
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            kind = ast.unparse(child.returns) if child.returns else ""
        yield inner, kind, child
        yield from _located(child, inner, kind)


def _changes(node: ast.AST, returns: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.If | ast.While | ast.IfExp) and not _is_swapped_only(node.test):
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
    if isinstance(node, ast.Return) and node.value is not None:
        for nothing in _nothings(returns):
            if ast.unparse(node.value) != nothing:
                yield "return", f"return {nothing}"


def _is_swapped_only(test: ast.expr) -> bool:
    """Whether the other comparison is the same as the negation: it is changed once, not twice."""
    exact = ast.Eq | ast.NotEq | ast.In | ast.NotIn | ast.Is | ast.IsNot
    return isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], exact)


def _nothings(returns: str) -> Iterator[str]:
    """What says nothing and is of the returned type: another type is found by the type checker."""
    named = {part.strip().partition("[")[0] for part in returns.split("|")}
    for name, nothings in NOTHINGS.items():
        if name in named:
            yield from nothings


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
