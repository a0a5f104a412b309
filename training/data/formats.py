"""The first bytes of a file in, its encoding out, or what the file is if it is no text."""

from __future__ import annotations

GZIP = b"\x1f\x8b"

# A text that starts like this is neither CSV nor a list of prompts.
_LFS_POINTER = b"version https://git-lfs"
_EXCEL_REMEDY = "open it and save the sheet as 'CSV UTF-8'"
_PANDAS_REMEDY = "convert it with pandas: {} and to_csv(..., index=False)"
# First bytes of a file, what it is, and how to get a CSV file from it.
_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old or locked Excel workbook", _EXCEL_REMEDY),
    (b"PAR1", "a Parquet file", _PANDAS_REMEDY.format("read_parquet(...)")),
    (b"ARROW1", "an Arrow file", _PANDAS_REMEDY.format("read_feather(...)")),
    *((bytes((0x80, version)), "a pickle", _PANDAS_REMEDY.format("read_pickle(...)")) for version in range(2, 6)),
    (b"SQLite format 3\0", "an SQLite database", "export the table as CSV"),
    (b"%PDF", "a PDF", "export the table as CSV"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd", "unpack it, or pack it with gzip"),
    (b"\xfd7zXZ\0", "packed with xz", "unpack it, or pack it with gzip"),
    (b"BZh", "packed with bzip2", "unpack it, or pack it with gzip"),
    (b"7z\xbc\xaf\x27\x1c", "packed with 7-Zip", "unpack it, or pack it with gzip"),
    (b"\xff\xfe\0\0", "text in UTF-32", "save it as UTF-8"),
    (b"\0\0\xfe\xff", "text in UTF-32", "save it as UTF-8"),
    (_LFS_POINTER, "a pointer of Git LFS", "run git lfs pull to get the file"),
)
# A workbook is a zip archive. These names stand in its first entries, and no CSV file in an archive has such a name.
_EXCEL_ENTRIES = (b"[Content_Types].xml", b"_rels/", b"xl/")
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
# A header without a byte order mark is recognised as UTF-16 by the zeros in so many ASCII characters.
_CHARACTERS = 3


def describe_foreign(head: bytes) -> tuple[str, str] | None:
    """Return what a file is and the remedy, or None if it may be a text.

    >>> describe_foreign(b"PAR1")
    ('a Parquet file', 'convert it with pandas: read_parquet(...) and to_csv(..., index=False)')

    Args:
        head: The first bytes of the file, unpacked. The more, the better.
    """
    if head.startswith(b"PK\x03\x04"):
        return _describe_zip(head)
    return next(((kind, remedy) for start, kind, remedy in _SIGNATURES if head.startswith(start)), None)


def find_encoding(head: bytes) -> str:
    """Return the encoding of a text: UTF-16 as in "Unicode text" of Excel, or else UTF-8. A byte order mark is dropped.

    >>> find_encoding("prompt".encode("utf-16")), find_encoding(b"prompt")
    ('utf-16', 'utf-8-sig')

    Args:
        head: The first bytes of the text. ASCII characters come first if there is no byte order mark.
    """
    if head.startswith(_UTF_16_MARKS):
        return "utf-16"
    first = head[: 2 * _CHARACTERS]
    for offset, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if first[offset::2] == bytes(_CHARACTERS) and all(first[1 - offset :: 2]):
            return encoding
    return "utf-8-sig"


def _describe_zip(head: bytes) -> tuple[str, str]:
    if any(entry in head for entry in _EXCEL_ENTRIES):
        return "an Excel workbook (.xlsx)", _EXCEL_REMEDY
    if b"opendocument" in head:
        return "an OpenDocument sheet (.ods)", _EXCEL_REMEDY
    return "a zip archive", "unpack it, or pack the file with gzip"
