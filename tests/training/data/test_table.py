import csv
import gzip
from contextlib import suppress
from pathlib import Path

import pytest

from tests.training.data.files import check_error, write
from training.data.table import MAX_FIELD_CHARS, DatasetError, Problems, escape_formula, hash_file, read_table

GZIPPED = gzip.compress(b"prompt,task\n" + b"a,qa\n" * 500)
ZIPPED = b"PK\x03\x04" + bytes(26)
OVER_CAP = "x" * (MAX_FIELD_CHARS + 1)
BROKEN = {
    "missing column": ("text,task\na,qa\n", "row 1", "columns ['prompt'] are missing", "add them"),
    "duplicate header": ("prompt,task,task\na,qa,qa\n", "row 1", "named once, repeated: ['task']", "rename or remove"),
    "over the cap": (f"prompt,task\na,qa\n{OVER_CAP},qa\n", "row 3", "more than 500000 characters", "look for"),
    "unclosed quote": ('prompt,task\na,qa\n"b,qa\nc,qa\n', "row 3", "not CSV", "look for an unclosed quote"),
    "ragged row": ("prompt,task\na,qa\nb, c,qa\n", "row 3", "must have 2 fields like the header, got 3", "quote fields"),
    "short row": ("prompt,task\nb\n", "row 2", "must have 2 fields like the header, got 1", "quote fields"),
    "empty file": ("", "", "is empty", "its first row must name the columns"),
    "not UTF-8": (b"prompt,task\na,qa\ncaf\xe9,qa\n", "row 3", "must be UTF-8", "save it as UTF-8"),
    "UTF-32": ("prompt,task\na,qa\n".encode("utf-32"), "", "but it is text in UTF-32", "save it as UTF-8"),
    "half UTF-16": ("prompt,task\na,qa\n".encode("utf-16") + b"x", "", "starts as UTF-16", "save it as UTF-8"),
    "ragged row of semicolons": ("prompt;task\na;qa\nb; c;qa\n", "row 3", "must have 2 fields", "that contain semicolons"),
    "decimal comma": ("prompt,task,x\na,qa,0,5\n", "row 2", "got 4", "write decimals with a dot"),
    "other columns": ("Text;Label\na;qa\n", "row 1", "['prompt', 'task'] are missing, found ['text', 'label']", "rename"),
    "bars": ("prompt|task\na|qa\n", "row 1", "are missing, found ['prompt|task']", "separate fields with commas"),
    "no header": ("secret " * 20 + ",qa\n", "row 1", "are missing, found", "add them"),
    "blank lines only": ("\n;;\n \n", "", "is empty", "must name the columns"),
    "JSON": ('{"prompt":"a","task":"qa"}\n', "", "with the columns prompt, task, but it is JSON", "write it as CSV"),
    "a JSON array": ('[{"prompt": "a"}]\n', "", "but it is JSON", "write it as CSV"),
    "a web page": ("<!DOCTYPE html>\n<html>\n", "", "but it is a web page", "download the file itself"),
    "a workbook": (
        ZIPPED + b"[Content_Types].xml",
        "",
        "but it is an Excel workbook (.xlsx)",
        "save the sheet as 'CSV UTF-8'",
    ),
    "an old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "", "an old or locked Excel workbook", "save the sheet"),
    "Parquet": (b"PAR1\0\0", "", "but it is a Parquet file", "read_parquet"),
    "packed twice": (gzip.compress(ZIPPED + b"p.csv"), "", "but it is a zip archive", "unpack it"),
}


def read(path: Path) -> list[tuple[int, dict[str, str]]]:
    return list(read_table(path, required=("prompt", "task")))


@pytest.mark.parametrize("case", BROKEN)
def test_an_error_names_file_row_rule_and_remedy(tmp_path: Path, case: str) -> None:
    check_error(read, tmp_path, BROKEN[case])


UNREADABLE = {
    "missing": ("p.csv", None, "cannot be read: No such file"),
    "truncated gzip": ("p.csv.gz", GZIPPED[:-12], "truncated gzip file; copy it again"),
    "damaged gzip": ("p.csv.gz", GZIPPED[:10] + b"\xff" * 50, "gzip"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, case: str) -> None:
    name, content, rule = UNREADABLE[case]
    path = tmp_path / name if content is None else write(tmp_path, name, content)
    with pytest.raises(DatasetError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert rule in str(caught.value)


def test_at_most_twenty_mistakes_are_listed_then_a_count(tmp_path: Path) -> None:
    problems = Problems(tmp_path / "p.csv")
    problems.raise_any()
    for row in range(2, 25):
        problems.add(row, "wrong; correct it")
    with pytest.raises(DatasetError) as caught:
        problems.raise_any()
    lines = str(caught.value).splitlines()
    assert (len(lines), lines[0], lines[20]) == (21, f"{tmp_path / 'p.csv'} row 2: wrong; correct it", "... and 3 more")


def test_rows_are_numbered_as_in_the_file_and_blank_lines_are_skipped(tmp_path: Path) -> None:
    content = "prompt,task\na,qa\n\nb,math\n"
    expected = [(2, {"prompt": "a", "task": "qa"}), (4, {"prompt": "b", "task": "math"})]
    assert read(write(tmp_path, "p.csv", content)) == expected


def test_a_gzipped_file_reads_as_the_plain_one_and_is_hashed_as_stored(tmp_path: Path) -> None:
    content = b"prompt,task\na,qa\nb,math\n"
    plain, packed = write(tmp_path, "p.csv", content), write(tmp_path, "p.csv.gz", gzip.compress(content))
    assert read(plain) == read(packed)
    assert hash_file(packed) != hash_file(plain)


READ = {
    "semicolons": b"prompt;task\na, b;qa\n",
    "tabs": b"prompt\ttask\na, b\tqa\n",
    "a declared separator": b'"sep=;"\r\nprompt;task\r\na, b;qa\r\n',
    "names in any case": b' Prompt , TASK\n"a, b",qa\n',
    "a byte order mark": b'\xef\xbb\xbf"Prompt",Task\n"a, b",qa\n',
    "Unicode text": "Prompt\tTask\r\na, b\tqa\r\n".encode("utf-16"),
    "UTF-16 without a mark": "prompt;task\na, b;qa\n".encode("utf-16-le"),
    "big-endian UTF-16": "prompt;task\na, b;qa\n".encode("utf-16-be"),
    "line ends of an old Mac": b'prompt,task\r"a, b",qa\r',
    "blank rows": b'\n,\n;\nprompt,task\n\n,\n"a, b",qa\n , \n',
    "empty columns at the end": b'prompt,task,,\n"a, b",qa\n',
    "empty fields at the end": b'prompt,task\n"a, b",qa,,\n',
    "gzipped, whatever its name": gzip.compress(b"prompt;task\na, b;qa\n"),
}  # fmt: skip


@pytest.mark.parametrize("case", READ)
def test_a_file_is_read_as_spreadsheets_write_it(tmp_path: Path, case: str) -> None:
    assert [record for _, record in read(write(tmp_path, "p.csv", READ[case]))] == [{"prompt": "a, b", "task": "qa"}]


def test_a_plain_file_may_keep_the_name_of_the_gzipped_one(tmp_path: Path) -> None:
    assert read(write(tmp_path, "p.csv.gz", b"prompt,task\na,qa\n")) == [(2, {"prompt": "a", "task": "qa"})]


def test_a_message_shows_only_the_beginning_of_a_wrong_header(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        read(write(tmp_path, "p.csv", "secret " * 20 + ",qa\n"))
    assert str(caught.value).count("secret") <= 6


@pytest.mark.parametrize("content", ["prompt,task\na,qa\n", 'prompt,task\n"a,qa\n', "prompt\na\n"])
def test_the_csv_modules_field_limit_is_restored(tmp_path: Path, content: str) -> None:
    before = csv.field_size_limit()
    assert before != MAX_FIELD_CHARS
    with suppress(DatasetError):
        read(write(tmp_path, "p.csv", content))
    assert csv.field_size_limit() == before


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@a"])
def test_a_field_that_a_spreadsheet_would_run_is_escaped_and_no_other(text: str) -> None:
    assert escape_formula(text) == f"'{text}"
    assert escape_formula(f"a{text}") == f"a{text}"
