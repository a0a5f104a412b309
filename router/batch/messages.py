"""The values of a column come in, the prompts that they hold go out."""

from __future__ import annotations

import json
from collections.abc import Sequence

from router.batch.fault import Fault


def find_prompts(values: Sequence[object], column: str) -> Sequence[object]:
    """Return the prompts of a column. Texts in a column named `messages` are chat messages in JSON.

    Args:
        values: The values of the column.
        column: Its name.
    """
    if column != "messages":
        return values
    return [_read_messages(value) if isinstance(value, str) else value for value in values]


def _read_messages(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return Fault("the messages are not valid JSON")
