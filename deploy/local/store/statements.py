"""What a statement is, without running it: does it answer, in which format, and where does an INSERT's body begin.

PURE. A scan over the statement's words, outside strings, comments and brackets; the engine does the real parsing.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

DEFAULT_FORMAT = "TabSeparated"
ANSWERING = frozenset(
    {b"SELECT", b"WITH", b"FROM", b"SHOW", b"DESCRIBE", b"DESC", b"EXISTS", b"EXPLAIN", b"CHECK", b"KILL", b"VALUES"}
)
READING = ANSWERING - {b"KILL", b"CHECK"} | {b"SET", b"USE"}
TOKEN = re.compile(
    rb"""
      (?P<skip>   \s+ | --[^\n]* | \#[!\s][^\n]* | /\*.*?\*/ )
    | (?P<quoted> '(?:\\.|''|[^'\\])*' | `(?:\\.|[^`\\])*` | "(?:\\.|[^"\\])*" | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$ )
    | (?P<open>   [(\[{] )
    | (?P<close>  [)\]}] )
    | (?P<word>   \w+ )
    | (?P<other>  . )
    """,
    re.VERBOSE | re.DOTALL,
)
BODY_STARTS = re.compile(rb"[ \t\f]*;?[ \t\f]*(?:\r?\n)?")


class Statement(NamedTuple):
    """A statement as the store runs it.

    `output_format` is None when it answers nothing. `insert_format` is set for an INSERT whose rows are sent as bytes
    in that format; `text` then ends before SETTINGS and FORMAT, `settings` is the clause between, `body` the rows.
    """

    text: bytes
    output_format: str | None = None
    insert_format: str | None = None
    settings: bytes = b""
    body: bytes = b""
    only_reads: bool = False


class Word(NamedTuple):
    """One unquoted word outside brackets."""

    upper: bytes
    start: int
    end: int


def words_of(text: bytes) -> Iterator[Word]:
    """Every word of the statement that stands outside strings, comments and brackets, lazily."""
    depth = 0
    for token in TOKEN.finditer(text):
        kind = token.lastgroup
        if kind == "open":
            depth += 1
        elif kind == "close":
            depth -= 1
        elif kind == "word" and depth <= 0:
            yield Word(token["word"].upper(), token.start(), token.end())


def first_word(text: bytes) -> bytes:
    """The statement's verb; an opening bracket stands for a SELECT in brackets."""
    for token in TOKEN.finditer(text):
        if token.lastgroup == "word":
            return token["word"].upper()
        if token.lastgroup not in ("skip", "open"):
            return b""
    return b""


def read_statement(in_url: bytes, in_body: bytes, default_format: str = DEFAULT_FORMAT) -> Statement:
    """Read one request: the statement may stand in the URL, in the body, or begin in one and go on in the other.

    An INSERT … FORMAT in the URL takes the whole body as its rows; other statements are continued by the body.
    """
    if in_url and first_word(in_url) == b"INSERT":
        insert = read_insert(in_url)
        if insert.insert_format is not None:
            return insert._replace(body=insert.body + in_body)
    text = in_url + b"\n" + in_body if in_url and in_body else in_url or in_body
    verb = first_word(text)
    if verb == b"INSERT":
        return read_insert(text)
    if verb not in ANSWERING:
        return Statement(text, only_reads=verb in READING)
    return Statement(text, output_format=format_of(text) or default_format, only_reads=verb in READING)


def read_insert(text: bytes) -> Statement:
    """Split an INSERT at its FORMAT clause; one with VALUES, SELECT or INFILE is run as it stands."""
    words = words_of(text)
    settings_at: int | None = None
    for word in words:
        if word.upper == b"SETTINGS":
            settings_at = word.start
        if word.upper in (b"VALUES", b"SELECT", b"WITH", b"INFILE", b"WATCH"):
            break
        if word.upper == b"FORMAT":
            name = next(words, None)
            body_starts = BODY_STARTS.match(text, name.end) if name else None
            if name is None or body_starts is None:
                break
            head_ends = word.start if settings_at is None else settings_at
            return Statement(
                text[:head_ends],
                insert_format=text[name.start : name.end].decode(),
                settings=text[head_ends : word.start],
                body=text[body_starts.end() :],
            )
    return Statement(text)


def format_of(text: bytes) -> str | None:
    """The format that a trailing FORMAT clause names, if there is one; a column may be called format too."""
    words = list(words_of(text))
    for word, name, after in zip(words, words[1:], [*words[2:], None], strict=False):
        is_last = after is None or after.upper == b"SETTINGS"
        if word.upper == b"FORMAT" and is_last and text[word.end : name.start].isspace():
            return text[name.start : name.end].decode()
    return None
