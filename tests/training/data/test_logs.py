import gzip
import json
from pathlib import Path

import pytest

from training.data.logs import LoggedPrompt, count_distinct, read_log, shorten, whole_prompt
from training.data.table import DatasetError

TURNS = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}, {"role": "user", "content": "three"}]


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    content = text.encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


@pytest.mark.parametrize("packed", ["", ".gz"])
def test_a_log_may_be_text_json_lines_or_csv(tmp_path: Path, packed: str) -> None:
    lines = write(tmp_path, f"log.txt{packed}", "one\n\n  \nthree\n")
    table = write(tmp_path, f"log.csv{packed}", 'id,prompt\n1,one\n2,"three\nlines"\n')
    values = ['"one"', json.dumps({"prompt": "two", "at": 3}), json.dumps({"messages": TURNS})]
    objects = write(tmp_path, f"log.jsonl{packed}", "\n".join(values))
    assert [(entry.text, entry.row) for entry in read_log(lines)] == [("one", 1), ("three", 4)]
    assert [(entry.text, entry.row) for entry in read_log(table)] == [("one", 2), ("three\nlines", 3)]
    assert [(entry.text, entry.row) for entry in read_log(objects)] == [("one", 1), ("two", 2), ("three", 3)]
    assert read_log(objects)[2].prompt == TURNS


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("log.jsonl", '"one"\n{"text": "two"}\n', r"row 2: an object must have 'prompt' or 'messages', got \['text'\]"),
        ("log.jsonl", "{", "row 1: must be JSON, one value per line"),
        ("log.jsonl", "5", "row 1: a prompt must be a str or a list of messages, got int"),
        ("log.csv", "id,text\n1,one\n", r"columns \['prompt'\] are missing"),
        ("log.csv", "id,prompt\n1, \n", "row 2: prompt must not be empty"),
        ("log.csv", '{"prompt": "one"}\n', "must be a CSV file with the columns prompt, but it is JSON; .* named .jsonl"),
        ("log.json", '[{"prompt": "one"}]', "row 1: a list must hold the messages of one prompt, got other values; write"),
        ("log.txt", "PAR1 ...", "must be a text with a prompt in each line, but it is a Parquet file; convert it"),
        ("log.txt", "\n\n", "must have at least one prompt"),
        ("missing.txt", None, "cannot be read: No such file"),
    ],
)
def test_an_error_names_the_row_or_the_missing_part(tmp_path: Path, name: str, text: str | None, message: str) -> None:
    path = tmp_path / name if text is None else write(tmp_path, name, text)
    with pytest.raises(DatasetError, match=message):
        read_log(path)


def test_a_damaged_file_has_an_error_of_its_own(tmp_path: Path) -> None:
    whole = gzip.compress(b"one\ntwo\n" * 1000)
    (tmp_path / "log.txt.gz").write_bytes(whole[:-9])
    with pytest.raises(DatasetError, match="damaged or truncated gzip"):
        read_log(tmp_path / "log.txt.gz")
    (tmp_path / "log.txt").write_bytes(b"one\n\xff\xfe\n")
    with pytest.raises(DatasetError, match="row 2: must be UTF-8"):
        read_log(tmp_path / "log.txt")


@pytest.mark.parametrize("name", ["log.ndjson", "log.json", "LOG.JSONL"])
def test_json_lines_have_several_names(tmp_path: Path, name: str) -> None:
    assert [entry.text for entry in read_log(write(tmp_path, name, '{"prompt": "one"}\n"two"\n'))] == ["one", "two"]


@pytest.mark.parametrize(
    ("name", "content"), [("log.txt", "one\r\ntw\u00f6"), ("log.csv", "ID\tPrompt\r\n1\tone\r\n2\ttw\u00f6")]
)
def test_a_log_may_be_unicode_text_of_a_spreadsheet(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_bytes(content.encode("utf-16"))
    assert [entry.text for entry in read_log(tmp_path / name)] == ["one", "tw\u00f6"]


def test_no_more_than_twenty_mistakes_are_listed(tmp_path: Path) -> None:
    path = write(tmp_path, "log.jsonl", "5\n" * 25)
    with pytest.raises(DatasetError) as caught:
        read_log(path)
    assert len(str(caught.value).splitlines()) == 21
    assert str(caught.value).endswith("... and 5 more")


def entry(prompt: object, row: int = 1) -> LoggedPrompt:
    return LoggedPrompt(prompt=prompt, text="three", row=row)  # type: ignore[arg-type]


def test_repeated_prompts_are_equal_in_every_turn_or_in_the_last_one() -> None:
    first, same, other = entry(TURNS), entry([dict(turn) for turn in TURNS], 2), entry(TURNS[2:], 3)
    assert count_distinct([first, same, other], whole_prompt) == [(first, 2), (other, 1)]
    assert count_distinct([first, same, other], lambda one: one.text) == [(first, 3)]


def test_control_characters_are_not_printed() -> None:
    assert shorten("a\x1b[31mb\r\nc\u202ed") == "a [31mb c d"
    assert shorten("x" * 90) == "x" * 77 + "..."
