"""Files to read, and a check of the errors about them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from training.data.table import DatasetError

# Content of a broken file, the place in it (a row, or nothing), a part of the rule and a part of the remedy.
Broken = tuple[str | bytes, str, str, str]


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def check_error(read: Callable[[Path], object], folder: Path, broken: Broken) -> None:
    """Check that the error has one line, which names the file, the row, the rule and the remedy."""
    content, place, rule, remedy = broken
    path = write(folder, "given.csv", content)
    with pytest.raises(DatasetError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert [part for part in (place, rule, remedy) if part not in message] == [], message
    assert "\n" not in message
