"""The texts of a conversation come in, what its person asked for goes out, without what programs put around it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

# The openings of a block: `<name>`, `[[NAME]]`, `--- begin name ---`, `--- name ---`.
_OPENING = re.compile(
    r"^[ \t]*(?:<(?P<tag>[A-Za-z][\w.:-]{0,60})(?:\s[^<>\n]{0,300})?>"
    r"|(?P<brackets>\[{1,2})(?P<mark>[A-Za-z][\w .:-]{0,60})\]{1,2}"
    r"|(?:-{3,}|={3,})[ \t]*(?P<line>[^\n=-][^\n]{0,60}?)[ \t]*(?:-{3,}|={3,})[ \t]*$)",
    re.MULTILINE,
)
_LINE_END = re.compile(r"^[ \t]*(?:-{3,}|={3,})[ \t]*(?:end|/)\b[^\n]*$", re.MULTILINE | re.IGNORECASE)
# A tag of HTML is text that a person pasted.
_HTML = frozenset(
    {
        *("a", "abbr", "article", "aside", "b", "blockquote", "body", "br", "button", "canvas", "caption", "center", "code"),
        *("dd", "div", "dl", "dt", "em", "fieldset", "figure", "font", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6"),
        *("head", "header", "hr", "html", "i", "iframe", "img", "input", "label", "li", "link", "main", "meta", "nav", "ol"),
        *("option", "p", "path", "pre", "script", "section", "select", "small", "span", "strong", "style", "sub", "sup"),
        *("svg", "table", "tbody", "td", "textarea", "tfoot", "th", "thead", "title", "tr", "u", "ul", "video"),
    }
)
# Names of the part that holds the person's words. The last ones are names of other things too, so a label is not enough.
_REQUEST = re.compile(
    r"(?:the |your |current |new |latest |original |actual )*(?:(?:user|person|human|me|operator|customer|client)"
    r"(?: (?:message|input|request|query|question|prompt|text|turn|task|instructions?|asks?|asked|says?|said|wrote))?"
    r"|request|query|question|task|instructions?|prompt|ask|asked|said|says|utterance|objective|goal"
    r"|(?P<weak>input|message|comment|body|text))",
)
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])|[\W_]+")
# A message in which a program sums up what was said before it began.
_SUMMARY = re.compile(
    r"\b(?:session|conversation|chat|context|thread)\b[^\n]{0,80}\b(?:continu\w*|earlier|previous|compact\w*|summar\w*)\b"
    r"|\bsummary\b[^\n]{0,60}\b(?:conversation|session|chat|so far)\b",
    re.IGNORECASE,
)
_SUMMARY_CHARS = 200
_SUMMARY_NAME = re.compile(r"summar|compact", re.IGNORECASE)
# A text that reports what a tool returned, in agents that call tools in plain text.
_RESULT = re.compile(
    r"^\W*(?:observation|(?:[\w.-]+[ \]]*)?(?:results?|output|response|returned)|stdout|stderr|exit code)\b"
    r"[^\n]{0,60}?[:\]]",
    re.IGNORECASE,
)
# `### Workspace`, `**Open files**`, `[hint] …`, `(shell) …`, `USER REQUEST: …`, `Current time: 10:15`. People write
# `Translate this: …` too, so other labels do not count.
_LABEL = re.compile(
    r"^\s*(?:#{1,6}[ \t]+(?P<heading>[^\n]{1,60}?):?$|\*\*(?P<bold>[^\n*]{1,60}?):?\*\*:?"
    r"|[\[(](?P<brackets>[^\W\d_][\w ,-]{0,40})[\])](?!\()|(?P<capitals>[A-Z][A-Z0-9 _/-]{1,40}):(?=\s|$)"
    r"|(?P<label>[A-Z][\w-]{1,20}(?: [\w-]{1,20})?):(?=[^\n]*[\d/|_])(?=\s))[ \t]*"
)
_KEY = re.compile(r"^\s*(?:(?:\d{1,3}[.)]|[-*])[ \t]+)?(?P<key>[\w -]{1,30}):[ \t]*(?:[|>][+-]?[ \t]*$)?")
_CELLS = re.compile(r"^\s*\|\s*(?P<key>[^|]{1,40}?)\s*\|\s*(?P<value>[^|]+?)\s*\|\s*$")
# A paragraph with so many lines `key: value` holds settings, or the head of a mail.
_FEWEST_KEYS = 3
# Words that a program quotes: the user typed "…".
_QUOTED = re.compile(
    r"\b(?:user|person|customer|caller) (?:has )?(?:typed|said|says|asked|asks|wrote|entered)[:,]?\s*"
    r"(?:«\s*(?P<guillemets>[^»]+?)\s*»|[\"“](?P<quotes>[^\"”]+)[\"”])",
    re.IGNORECASE,
)
# Comments of HTML, and what follows the head of a forwarded mail.
_DROPPED = re.compile(
    r"<!--.*?-->|^-{3,}[ \t]*(?:forwarded|original)\b[^\n]*-{3,}[ \t]*$.*", re.DOTALL | re.MULTILINE | re.IGNORECASE
)
_FENCE = re.compile(r"^[ \t]*(```+|~~~+)[^\n]*\n.*?(?:^[ \t]*\1[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
# A line of a log, a diff, a table, a quotation, JSON, code or settings, or a line of marks alone.
_DATA_LINE = re.compile(
    r"^\s*(?:[>|{}@$%]|[+-]\S?\s{2,}|\+\+\+|---|\[?\d{2,4}[-/]\d{1,2}[-/]|\[?\d{1,2}:\d\d|\[(?:info|debug|warn|error|warning)\b"
    r"|[\w.-]{1,40}=\S|[\"'][\w.-]+[\"']\s*:|<[^<>]+/>\s*$|\d+[ \t]*\||[-*][ \t]+\[[ xX]\]|diff --git|commit [0-9a-f]{7}"
    r"|\([^()]*\)\s*$|[a-z][\w ]{1,20}:[ \t]*[\d.,:%]+\s*$)"
    r"|^\s{4,}\S|[;{}\\]$|\|.*\||^[\W_]*$",
    re.IGNORECASE,
)
# Who may sum up what was said before.
_CONTEXT_ROLES = ("user", "system", "developer")
_DIGITS = re.compile(r"\d+")
_MOST_BLOCKS = 100
# A line counts as the program's if at least this share of the user's messages has it, and at least two have.
_REPEATED_SHARE = 1 / 3


class _Piece(NamedTuple):
    """A part of a text. The name is that of its block or heading, and None if it stands in neither."""

    name: str | None
    text: str


class Said(NamedTuple):
    """The texts of one message.

    Attributes:
        role: Its role.
        texts: The texts of its parts.
    """

    role: str
    texts: Sequence[str]


def find_requests(messages: Sequence[Said], *, agent: bool) -> list[str]:
    """Return the person's own words in each message that has some, oldest first.

    A program may put more into a message than the person wrote. The structure tells what that is:

    - Text in a block (`<name> … </name>`, `[[NAME]] … [[/NAME]]`, `--- name --- … --- end ---`), if there is text outside.
    - Everything else, if the name of a block says that it holds the request (`<user_query>`).
    - Lines that many messages of the user repeat, but for their numbers.

    Programs that offer tools write more. So with `agent` these do not count either: texts under a heading or a label,
    fenced code, lines that look like data, results of tools as plain text, and JSON outside of a field for the request.

    A summary of an earlier part of the conversation counts as context. It is a request of its own, from the user or the
    system.

    Args:
        messages: The messages, oldest first.
        agent: Whether the request offers tools or has calls of tools.

    >>> reminder = "<reminder>Summarize each file that you read.</reminder>"
    >>> said = [[reminder, "fix the login test"], [reminder], ["<user_query>go on</user_query>"]]
    >>> find_requests([Said("user", texts) for texts in said], agent=True)
    ['fix the login test', 'go on']
    """
    repeated = _find_repeated([said.texts for said in messages if said.role == "user"])
    found = []
    for said in messages:
        texts = list(said.texts)
        if agent and said.role in _CONTEXT_ROLES:
            texts, summaries = _take_summaries(texts)
            found += summaries
        if said.role == "user":
            found.append(_find_request(texts, repeated, agent=agent))
    return [request for request in found if request]


def _find_repeated(messages: Sequence[Sequence[str]]) -> frozenset[str]:
    """Return the lines that many messages have, without their numbers."""
    lines = Counter(
        line for texts in messages for line in {_normalize(line) for text in texts for line in text.splitlines()} if line
    )
    least = max(2, _REPEATED_SHARE * len(messages))
    return frozenset(line for line, n in lines.items() if n >= least)


def _normalize(line: str) -> str:
    return _DIGITS.sub("0", line.strip())


def _take_summaries(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the texts without those that sum up an earlier part of the conversation, and what these say."""
    others: list[str] = []
    summaries: list[str] = []
    for text in texts:
        named = [piece.text for piece in _split(text) if piece.name and _SUMMARY_NAME.search(piece.name)]
        said = None if named else _SUMMARY.search(text[:_SUMMARY_CHARS])
        summaries += named if said is None else [_drop_rest_of_line(text[said.end() :])]
        if said is None:
            others.append(text)
    return others, [summary.strip() for summary in summaries if summary.strip()]


def _drop_rest_of_line(text: str) -> str:
    return text.partition("\n")[2].strip() or text


def _find_request(texts: Sequence[str], repeated: frozenset[str], *, agent: bool) -> str:
    pieces = [piece for text in texts for piece in _split(_DROPPED.sub("\n", text) if agent else text)]
    if agent:
        pieces = [inner for piece in pieces for inner in ([piece] if piece.name else _split_lines(piece.text, repeated))]
    asked = [piece.text for piece in pieces if piece.name and _is_request(piece.name)]
    if asked:
        return _join(asked)
    outside = _join(piece.text for piece in pieces if piece.name is None)
    if agent:
        return outside
    own = "\n".join(line for line in outside.splitlines() if _normalize(line) not in repeated).strip()
    return own or outside or _join(texts)


def _split(text: str) -> Iterator[_Piece]:
    """Yield the blocks of a text, and the texts between them."""
    at = begin = 0
    for _ in range(_MOST_BLOCKS):
        opening = _OPENING.search(text, begin)
        if opening is None:
            break
        name, close = _find_end(text, opening)
        if close is None:
            begin = opening.end()
            continue
        yield _Piece(None, text[at : opening.start()])
        inner = text[opening.end() : close.start()]
        # A block may hold the one with the request.
        asked = [] if _is_request(name) else [piece for piece in _split(inner) if piece.name and _is_request(piece.name)]
        yield from asked or [_Piece(name, inner)]
        at = begin = close.end()
    yield _Piece(None, text[at:])


def _find_end(text: str, opening: re.Match[str]) -> tuple[str, re.Match[str] | None]:
    """Return the name of a block and its end. None if it has no end or is no block."""
    if tag := opening["tag"]:
        end = None if tag.lower() in _HTML else re.compile(f"</{re.escape(tag)}\\s*>")
        return tag, end and end.search(text, opening.end())
    if mark := opening["mark"]:
        depth = len(opening["brackets"])
        return mark, re.compile(re.escape("[" * depth + "/" + mark + "]" * depth)).search(text, opening.end())
    return opening["line"], _LINE_END.search(text, opening.end())


def _is_request(name: str) -> bool:
    return _match_request(name) is not None


def _match_request(name: str) -> re.Match[str] | None:
    return _REQUEST.fullmatch(_WORDS.sub(" ", name).strip().casefold())


def _split_lines(text: str, repeated: frozenset[str]) -> Iterator[_Piece]:
    """Yield the parts of an agent's text that stand under a heading or a label, and the others, without data."""
    if _RESULT.match(text):
        return
    if quoted := [said["guillemets"] or said["quotes"] for said in _QUOTED.finditer(text)]:
        yield _Piece("user", quoted[-1])
        return
    if text.lstrip().startswith("{") and (fields := _read_json(text)) is not None:
        yield from fields
        return
    for paragraph in re.split(r"\n[ \t]*\n", _FENCE.sub("\n", text)):
        lines = [line for line in paragraph.splitlines() if _normalize(line) not in repeated]
        are_settings = sum(bool(_KEY.match(line)) for line in paragraph.splitlines()) >= _FEWEST_KEYS
        yield from _split_paragraph(lines, are_settings=are_settings)


def _split_paragraph(paragraph: Sequence[str], *, are_settings: bool) -> Iterator[_Piece]:
    name: str | None = None
    lines: list[str] = []
    for line in paragraph:
        cells = _CELLS.match(line)
        if cells is not None and _is_request(cells["key"]):
            yield _Piece(cells["key"], cells["value"])
        label = _LABEL.match(line) or _find_key(line, are_settings=are_settings)
        if label is not None:
            yield from _close(name, lines)
            name = label[label.lastgroup or 0]
            lines = [line[label.end() :]]
        elif not _DATA_LINE.search(line):
            # What stands below a line such as `Current file: a.py` belongs to it only if that line is empty.
            if name and lines and lines[0].strip() and not _is_request(name):
                yield from _close(name, lines)
                name, lines = None, []
            lines.append(line)
    yield from _close(name, lines)


def _find_key(line: str, *, are_settings: bool) -> re.Match[str] | None:
    key = _KEY.match(line)
    asked = key and _match_request(key["key"])
    return key if are_settings or (asked and not asked["weak"]) else None


def _close(name: str | None, lines: Sequence[str]) -> Iterator[_Piece]:
    text = "\n".join(lines).strip()
    # An empty part for the request says that there is none.
    if text or (name and _is_request(name)):
        yield _Piece(name, text)


def _read_json(text: str) -> list[_Piece] | None:
    """Return the texts in JSON with their names. None if it is no JSON."""
    try:
        value = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
    return list(_walk("json", value))


def _walk(name: str, value: object) -> Iterator[_Piece]:
    if isinstance(value, str):
        yield _Piece(name, value)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _walk(str(key), inner)


def _join(texts: Iterable[str]) -> str:
    return "\n".join(text.strip() for text in texts if text.strip())
