"""The table of the words in which servers report failures, read from `failure_rules.tsv`.

A row of the table holds one wording, or a family of close ones, with the servers that use it and where that is documented or
reported. The columns:

- kind: the class of the failure.
- too_long: "yes" if the prompt is too long for the model.
- statuses: the HTTP statuses that the row holds for, such as `429` or `4xx`. Empty for all. A failure without a status,
  which comes in an answer of status 200, fits every row.
- words: a regular expression over the lower-case text of an error answer, which is its codes, its parameter, a bar, and its
  messages. `{limit}` stands for the number of tokens that the endpoint accepts.
- servers, source: who uses the words, and a public address.

The first row that fits decides, so the order carries meaning. Servers share words, and the narrow reading has to come first:

1. Limits of an account that read like a prompt that is too long, and short limits that read like an empty account.
2. A prompt that is too long. Servers say so under many statuses and codes.
3. The account, the key, the place: one of them fails every request, whatever else the text says.
4. The content filter. Its words are clear, but its statuses are those of a refused key.
5. Messages that do not fit together, before models, because both are "not found".
6. What the model does not support, before models, because both are "not supported".
7. A model that the endpoint does not serve, then passing problems, then requests that are wrong for every model.
8. Bare codes such as `invalid_request_error`. Servers send them with anything.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final, cast, get_args

from router.types import FailureClass

_LIMIT: Final = r"(?P<limit>\d[\d,_]{0,15})"


@dataclass(frozen=True, slots=True)
class Rule:
    """Meaning of some words in an error answer.

    Attributes:
        kind: Class of the failure.
        words: Regular expression over the lower-case text. A group `limit` holds the tokens that the endpoint accepts.
        source: A public address that shows the words.
        too_long: Whether the prompt is too long for the model.
        statuses: Statuses that the rule holds for, such as "429" or "4xx". Empty for all.
        servers: Servers that use the words.
    """

    kind: FailureClass
    words: re.Pattern[str]
    source: str
    too_long: bool = False
    statuses: frozenset[str] = frozenset()
    servers: str = ""

    def __post_init__(self) -> None:
        if self.kind not in get_args(FailureClass):
            raise ValueError(f"kind must be one of {', '.join(get_args(FailureClass))}, got {self.kind!r}")
        if not self.source.startswith("https://"):
            raise ValueError(f"source must be a public address, got {self.source!r}")

    def fits(self, status: int | None, text: str) -> re.Match[str] | None:
        """Return the match of the words, or None if they or the status do not fit. Without a status, only words count."""
        if status is not None and self.statuses and not self.statuses & {str(status), f"{status // 100}xx"}:
            return None
        return self.words.search(text)


@cache
def load_rules() -> tuple[Rule, ...]:
    """Return the table in its order. It is read at the first failure, because compiling it takes tens of milliseconds.

    >>> load_rules()[0].kind
    'unable'
    """
    table = files("router.execution").joinpath("failure_rules.tsv").read_text(encoding="utf-8")
    # No quotes: in the file, a regular expression reads as it would in Python.
    rows = csv.DictReader(table.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    return tuple(
        Rule(
            kind=cast("FailureClass", row["kind"]),
            words=re.compile(row["words"].replace("{limit}", _LIMIT)),
            source=row["source"],
            too_long=row["too_long"] == "yes",
            statuses=frozenset(row["statuses"].split()),
            servers=row["servers"],
        )
        for row in rows
    )


# The class of an answer that no rule knows. Any other 4xx is `unable`: another model may take the request.
CLASS_OF_STATUS: Final[Mapping[int, FailureClass]] = {
    401: "auth",
    402: "auth",
    403: "auth",
    404: "auth",
    405: "auth",  # a wrong base URL
    408: "transient",
    409: "transient",
    410: "auth",  # a model that was withdrawn
    424: "transient",  # TGI: the generation failed
    425: "transient",
    429: "rate_limit",
    498: "transient",  # Groq: no capacity for the flex tier
    499: "transient",  # nginx: the proxy lost the client
}
