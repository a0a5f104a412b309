from pathlib import Path

import pytest

from router import InputError
from router.batch.blocks import check_columns, cut_files, find_files, find_format
from router.batch.fault import Fault
from tests.router.batch.conftest import PROMPTS, write_rows

ENDINGS = ("csv", "jsonl", "parquet")


def read_all(path: Path, size: int) -> list[object]:
    form = find_format([path])
    return [value for block in cut_files(form, [path], size) for value in form.read(block).values("prompt")]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 11, 100])
@pytest.mark.parametrize("ending", ENDINGS)
def test_blocks_of_any_size_hold_every_row_once_and_in_order(ending: str, size: int, tmp_path: Path) -> None:
    path = write_rows(tmp_path / f"in.{ending}", [{"id": i, "prompt": text} for i, text in enumerate(PROMPTS)])
    assert read_all(path, size) == PROMPTS


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\n\n\n"])
def test_a_block_of_csv_never_starts_inside_of_quotes(end: bytes, tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(b'\xef\xbb\xbfprompt,n\r\n"a\n\nb,""c""\n",1\r\n\nd"e,2\n"\xff\n",3' + end)
    assert read_all(path, 1) == read_all(path, 9) == ['a\n\nb,"c"\n', 'd"e', "\udcff\n"]


def test_bytes_of_csv_that_are_no_utf_8_come_out_as_they_went_in(tmp_path: Path) -> None:
    path, out = tmp_path / "in.csv", tmp_path / "out.csv"
    path.write_bytes(b"prompt\ncaf\xe9\n")
    form = find_format([path])
    (block,) = cut_files(form, [path], 9)
    with out.open("wb") as stream:
        form.read(block).write(stream, {"model": ["a"]})
    assert out.read_bytes() == b"prompt,model\ncaf\xe9,a\n"


def test_json_lines_keep_their_text_and_lines_that_are_no_object_are_faults(tmp_path: Path) -> None:
    path, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    path.write_bytes(b'{"prompt": "a", "n": 1.50 }\n\n[1]\n{"prompt": \n{}\r\n{"prompt": "\\ud800"}')
    form = find_format([path])
    (block,) = cut_files(form, [path], 9)
    rows = form.read(block)
    values = list(rows.values("prompt"))
    assert values[0] == "a"
    assert [isinstance(value, Fault) for value in values] == [False, True, True, False, False]
    with out.open("wb") as stream:
        rows.write(stream, {"model": ["m", None, None, None, "m"]})
    assert out.read_bytes().splitlines() == [
        b'{"prompt": "a", "n": 1.50,"model":"m"}',
        b'{"model":null}',
        b'{"model":null}',
        b'{"model":null}',
        b'{"prompt": "\\ud800","model":"m"}',
    ]


def test_a_csv_row_of_another_width_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("prompt,n\na,1\nb\nc,3,4\n")
    values = read_all(path, 2)
    assert values == ["a", Fault("the row has 1 fields, the header has 2"), Fault("the row has 3 fields, the header has 2")]


def test_rows_of_a_parquet_block_come_from_several_row_groups(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "in.parquet", [{"prompt": text} for text in PROMPTS])  # in row groups of four
    form = find_format([path])
    assert [form.read(block).values("prompt") for block in cut_files(form, [path], 6)] == [PROMPTS[:6], PROMPTS[6:]]


def test_files_are_those_of_a_folder_or_a_pattern_sorted_by_name(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", ".hidden.csv", "_SUCCESS"):
        (tmp_path / name).write_text("prompt\nx\n")
    expected = [tmp_path.resolve() / "a.csv", tmp_path.resolve() / "b.csv"]
    assert find_files(str(tmp_path)) == find_files(f"{tmp_path}/*.csv") == expected
    with pytest.raises(InputError, match="found no file"):
        find_files(f"{tmp_path}/*.txt")


def test_files_must_fit_together(tmp_path: Path) -> None:
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_text("prompt,n\nx,1\n")
    second.write_text("prompt\nx\n")
    form = find_format([first])
    with pytest.raises(InputError, match="all files must have the columns"):
        check_columns(form, [first, second], "prompt", "")
    with pytest.raises(InputError, match=r"has no column 'text'; name one of \['prompt', 'n'\]"):
        check_columns(form, [first], "text", "")
    first.write_text("prompt,model\nx,1\n")
    with pytest.raises(InputError, match=r"already have columns named \['model'\]; set --prefix"):
        check_columns(form, [first], "prompt", "")
    check_columns(form, [first], "prompt", "routed_")
    with pytest.raises(InputError, match="must have one format"):
        find_format([first, tmp_path / "c.jsonl"])
    with pytest.raises(InputError, match="must end in"):
        find_format([tmp_path / "c.csv.gz"])
    first.write_text("")
    with pytest.raises(InputError, match="has no header"):
        form.names(str(first))
