"""PURE: the shape of a message body, so that failures of one kind of message are found together."""

import msgspec

PATHS_MAX = 1_000
DEPTH_MAX = 30


def shape_of(body: bytes) -> tuple[str, ...]:
    """The JSON paths in the body with the type of what stands there, sorted; empty where it is no JSON.

    `brief.sources[]:string` stands for all elements of an array. Bounded: of what is deeper or longer than anything
    we say, only the beginning is told.
    """
    try:
        value = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ()
    found: set[str] = set()
    waiting: list[tuple[str, object, int]] = [("", value, 0)]
    while waiting and len(found) < PATHS_MAX:
        path, one, depth = waiting.pop()
        found.add(f"{path}:{_type_of(one)}")
        if depth == DEPTH_MAX:
            continue
        if isinstance(one, dict):
            # From the first name on, whichever order they were written in.
            named = sorted(one.items(), reverse=True)
            waiting += [(f"{path}.{name}" if path else name, inner, depth + 1) for name, inner in named]
        elif isinstance(one, list):
            waiting += [(f"{path}[]", inner, depth + 1) for inner in one[:PATHS_MAX]]
    return tuple(sorted(found))


def _type_of(value: object) -> str:
    if value is None:
        return "null"
    # A bool is an int to Python.
    kinds = ((bool, "boolean"), (int | float, "number"), (str, "string"), (list, "array"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "object")
