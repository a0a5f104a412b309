"""Read labelled prompts and benchmark results from CSV, and tell every mistake with its row and the remedy."""

from __future__ import annotations

import csv
import gzip
import hashlib
import math
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from router.classifier import CONTINUES
from router.errors import RouterError

TASKS = (
    "coding", "math", "reasoning", "qa", "extraction", "summarization", "classification",
    "rewriting", "translation", "writing", "brainstorming", "advice", "roleplay", "ethics",
)  # fmt: skip

MAX_FIELD_CHARS = 500_000
_MAX_TOLD = 20
_ROLES = ("user", "assistant", "system")
_SHORT_CHARS = 35


class DatasetError(RouterError):
    """A CSV file breaks the rules of its layout; tells at most 20 rows, then a count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPrompt:
    """One row of labelled prompts.

    Attributes:
        prompt: What somebody typed.
        task: What they want done; `router.classifier.CONTINUES` where only the turn before it says.
        also: Other tasks that a careful colleague could defend, for lenient accuracy.
        language: ISO 639-1 code; empty where unknown.
        group: What must stay on one side of a split; unique to the row where the file names none.
        source: Where the row comes from.
        kind: The kind of request, such as `cover letters`.
        marks: What its author says of its style, such as `typed`, `pasted`, `context`, `two`.
        row: Its number in the file; the header is row 1.
        earlier: The turns of its conversation before it, oldest first, as (role, content).
    """

    prompt: str
    task: str
    also: tuple[str, ...] = ()
    language: str = ""
    group: str = ""
    source: str = ""
    kind: str = ""
    marks: tuple[str, ...] = ()
    row: int = 0
    earlier: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSet:
    """A file of labelled prompts.

    Attributes:
        rows: The prompts, duplicates dropped unless asked for.
        sha256: Hash of the file.
        licence: What its column `licence` names.
        notes: What a reader should know: dropped duplicates, conflicting labels.
    """

    rows: tuple[LabelledPrompt, ...]
    sha256: str
    licence: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One row of a benchmark: one model on one prompt, or one model on one task.

    Attributes:
        model: The model's name.
        score: In [0, 1].
        task: Empty where the classifier has to tell it from `prompt`.
        prompt: Empty for an aggregate over `n` prompts.
        benchmark: Which benchmark.
        n: Prompts behind the score; 1 for a prompt, None for an aggregate that does not say.
        cost_usd: USD per prompt.
        input_tokens: Per prompt.
        output_tokens: Per prompt.
        latency_s: Seconds per prompt.
    """

    model: str
    score: float
    task: str = ""
    prompt: str = ""
    benchmark: str = ""
    n: float | None = None
    cost_usd: float | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None
    latency_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What a benchmark file says of a model besides its scores; units as in `router.types.ModelProfile`."""

    provider: str = ""
    input_usd_per_mtok: float | None = None
    output_usd_per_mtok: float | None = None
    context_window: int | None = None
    capabilities: frozenset[str] = frozenset()
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkSet:
    """A file of benchmark results.

    Attributes:
        results: The rows.
        facts: By model, in the order of first appearance.
        sha256: Hash of the file.
    """

    results: tuple[Result, ...]
    facts: Mapping[str, ModelFacts]
    sha256: str


@dataclass
class _Problems:
    """Collects what is wrong with a file, so that one run tells it all."""

    path: Path
    told: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, row: int, message: str) -> None:
        self.count += 1
        if len(self.told) < _MAX_TOLD:
            self.told.append(f"{self.path} row {row}: {message}")

    def raise_any(self) -> None:
        if self.count:
            more = [f"… and {self.count - len(self.told)} more"] if self.count > len(self.told) else []
            raise DatasetError("\n".join([*self.told, *more]))


def read_prompts(path: Path, *, tasks: Sequence[str] | None = TASKS, keep_repeated: bool = False) -> PromptSet:
    """Read `prompt,task` and, where there are, `also,language,group,source,kind,style`; other columns are ignored.

    Args:
        path: A CSV file in UTF-8, quoted as in RFC 4180; gzipped if its name ends in `.gz`.
        tasks: The tasks a row may name; None: any.
        keep_repeated: Whether a prompt that stands twice with one task is kept twice.

    Raises:
        DatasetError: If the file cannot be read, or with every row that breaks a rule.
    """
    problems = _Problems(path)
    seen: dict[str, dict[str, int]] = {}
    rows, repeated = [], 0
    licences: dict[str, None] = {}
    for number, record in read_table(path, required=("prompt", "task")):
        row = _read_prompt_row(number, record, tasks, problems)
        if row is None:
            continue
        labels = seen.setdefault(row.prompt, {})
        if row.task in labels and not keep_repeated:
            repeated += 1
            continue
        labels.setdefault(row.task, number)
        rows.append(row)
        licences |= dict.fromkeys(filter(None, [record.get("licence", "").strip()]))
    problems.raise_any()
    if not rows:
        raise DatasetError(f"{path} must have at least one prompt below its header; add rows")
    notes = [f"{repeated} repeated rows dropped"] if repeated else []
    conflicts = [labels for labels in seen.values() if len(labels) > 1]
    for labels in conflicts[:_MAX_TOLD]:
        told = ", ".join(f"{task} in row {number}" for task, number in labels.items())
        notes.append(f"one prompt with several tasks: {told}; keep the right one")
    if len(conflicts) > _MAX_TOLD:
        notes.append(f"… and {len(conflicts) - _MAX_TOLD} more prompts with several tasks")
    return PromptSet(rows=tuple(rows), sha256=hash_file(path), licence=", ".join(licences), notes=tuple(notes))


def with_task(rows: Sequence[LabelledPrompt]) -> tuple[LabelledPrompt, ...]:
    """Return the rows that have a task of their own: all but those labelled `CONTINUES`."""
    return tuple(row for row in rows if row.task != CONTINUES)


def read_conversations(path: Path, *, tasks: Sequence[str] | None = TASKS) -> PromptSet:
    """Read `conversation_id,role,content,task`, a turn a row and in order: the turns of users, each with those before it.

    Its `group` is the conversation; its `source` tells a first turn, a follow-up and a short one (at most 35 characters).

    Args:
        path: As for `read_prompts`.
        tasks: The tasks a turn may name; None: any.

    Raises:
        DatasetError: As for `read_prompts`.
    """
    problems = _Problems(path)
    conversations: dict[str, list[tuple[str, str]]] = {}
    rows = []
    for number, record in read_table(path, required=("conversation_id", "role", "content", "task")):
        name, role, content, task = (record[column] for column in ("conversation_id", "role", "content", "task"))
        earlier = conversations.setdefault(name, [])
        if role not in _ROLES:
            problems.add(number, f"role must be one of {', '.join(_ROLES)}, was {role!r}; correct it")
        _check_nul(number, record, problems)
        if role == "user":
            _check_task(number, task, tasks, problems)
            follows = any(before == "user" for before, _ in earlier)
            kind = ("short follow-up" if len(content) <= _SHORT_CHARS else "follow-up") if follows else "first turn"
            rows.append(
                LabelledPrompt(prompt=content, task=task, group=name, source=kind, row=number, earlier=tuple(earlier))
            )
        earlier.append((role, content))
    problems.raise_any()
    if not rows:
        raise DatasetError(f"{path} must have at least one turn of a user below its header; add rows")
    return PromptSet(rows=tuple(rows), sha256=hash_file(path))


def read_benchmark(path: Path, *, tasks: Sequence[str] | None = TASKS) -> BenchmarkSet:
    """Read `model,score` with `task` or `prompt`, and what else of the layout in `data/README.md` is there.

    Args:
        path: As for `read_prompts`.
        tasks: The tasks a row may name; None: any.

    Raises:
        DatasetError: As for `read_prompts`.
    """
    problems = _Problems(path)
    results: list[Result] = []
    facts: dict[str, dict[str, str]] = {}
    prompts: dict[str, str] = {}  # one string for a prompt that many models answered
    for number, record in read_table(path, required=("model", "score")):
        if text := record.get("prompt"):
            record["prompt"] = prompts.setdefault(text, text)
        result = _read_result(number, record, tasks, problems)
        if result is None:
            continue
        results.append(result)
        _gather_facts(number, record, facts.setdefault(result.model, {}), problems)
    problems.raise_any()
    if not results:
        raise DatasetError(f"{path} must have at least one result below its header; add rows")
    made = {model: _make_facts(values) for model, values in facts.items()}
    return BenchmarkSet(results=tuple(results), facts=made, sha256=hash_file(path))


def hash_file(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def escape_formula(text: str) -> str:
    """Return a field that a spreadsheet will not run: a leading `=`, `+`, `-` or `@` gets an apostrophe before it."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def read_table(path: Path, *, required: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each record with its number (the header is row 1), streamed."""
    previous = csv.field_size_limit(MAX_FIELD_CHARS)
    number = 1
    try:
        with _open(path) as stream:
            reader = csv.reader(stream, strict=True)
            header = [name.strip() for name in next(reader, [])]
            _check_encoding(path, 1, header)
            _check_header(path, header, required)
            for number, fields in enumerate(reader, start=2):
                if not fields:  # a blank line
                    continue
                if len(fields) != len(header):
                    raise DatasetError(
                        f"{path} row {number}: must have {len(header)} fields as the header, has {len(fields)}; "
                        "quote fields that contain commas or line breaks"
                    )
                _check_encoding(path, number, fields)
                yield number, dict(zip(header, fields, strict=True))
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}; name an existing CSV file") from error
    except csv.Error as error:
        raise DatasetError(
            f"{path} row {number + 1}: not CSV as in RFC 4180, or a field of more than {MAX_FIELD_CHARS} characters "
            f"({error}); look for an unclosed quote"
        ) from error
    except (EOFError, zlib.error) as error:
        raise DatasetError(f"{path} is a damaged or truncated gzip file; copy it again") from error
    finally:
        csv.field_size_limit(previous)


def _open(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="")
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def _check_encoding(path: Path, number: int, fields: Iterable[str]) -> None:
    """Refuse bytes that were not UTF-8, which `surrogateescape` let through so that their row is known."""
    try:
        "".join(fields).encode()
    except UnicodeEncodeError as error:
        raise DatasetError(f"{path} row {number}: must be UTF-8; save it as UTF-8") from error


def _check_header(path: Path, header: Sequence[str], required: Iterable[str]) -> None:
    if not header:
        raise DatasetError(f"{path} is empty; its first row must name the columns")
    repeated = [name for name, count in Counter(header).items() if count > 1]
    if repeated:
        raise DatasetError(f"{path} row 1: a column must be named once, repeated: {repeated}; rename or remove one")
    missing = [name for name in required if name not in header]
    if missing:
        raise DatasetError(f"{path} row 1: the columns {missing} are missing, found {list(header)}; add them")


def _read_prompt_row(
    number: int, record: Mapping[str, str], tasks: Sequence[str] | None, problems: _Problems
) -> LabelledPrompt | None:
    prompt, task = record["prompt"], record["task"].strip()
    before = problems.count
    tasks = tasks if task != CONTINUES else None
    if not prompt.strip():
        problems.add(number, "prompt must not be empty; fill it in or remove the row")
    _check_nul(number, record, problems)
    _check_task(number, task, tasks, problems)
    if problems.count > before:
        return None
    return LabelledPrompt(
        prompt=prompt,
        task=task,
        also=_split(record.get("also", "")),
        language=record.get("language", ""),
        group=record.get("group", "") or f"row {number}",
        source=record.get("source", ""),
        kind=record.get("kind", ""),
        marks=_split(record.get("style", "")),
        row=number,
    )


def _read_result(number: int, record: Mapping[str, str], tasks: Sequence[str] | None, problems: _Problems) -> Result | None:
    model, task, prompt = record["model"].strip(), record.get("task", "").strip(), record.get("prompt", "")
    before = problems.count
    if not model:
        problems.add(number, "model must not be empty; fill it in or remove the row")
    if not task and not prompt.strip():
        problems.add(number, "a row must have a task or a prompt; fill one in")
    if task:
        _check_task(number, task, tasks, problems)
    _check_nul(number, record, problems)
    score = _read_number(number, "score", record["score"], problems)
    if score is None and problems.count == before:
        problems.add(number, "score must not be empty; fill it in or remove the row")
    if score is not None and score > 1:
        problems.add(number, f"score must be in [0, 1], was {record['score']}; divide it by its maximum")
    numbers = {
        name: _read_number(number, name, record.get(name, ""), problems)
        for name in ("n", "cost_usd", "input_tokens", "output_tokens", "latency_s")
    }
    if numbers["n"] == 0:
        problems.add(number, "n must be above 0, was 0; leave it empty where it is not known, or remove the row")
    if problems.count > before or score is None:
        return None
    if prompt:
        numbers["n"] = 1.0
    return Result(model=model, score=score, task=task, prompt=prompt, benchmark=record.get("benchmark", ""), **numbers)


def _split(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (part.strip() for part in text.split("|"))))


def _check_task(number: int, task: str, tasks: Sequence[str] | None, problems: _Problems) -> None:
    if not task:
        problems.add(number, "task must not be empty; fill it in or remove the row")
    elif tasks is not None and task not in tasks:
        problems.add(number, f"task {task!r} is unknown; known: {', '.join(tasks)}; for tasks of your own use --own-tasks")


def _check_nul(number: int, record: Mapping[str, str], problems: _Problems) -> None:
    held = [name for name, value in record.items() if "\0" in value]
    if held:
        problems.add(number, f"fields must not contain NUL characters, found in {held}; remove them")


def _read_number(number: int, name: str, text: str, problems: _Problems) -> float | None:
    """Read a number that is finite and not negative; None where the field is empty or wrong."""
    if not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isfinite(value) and value >= 0:
        return value
    problems.add(
        number, f"{name} must be a finite number that is not negative, was {text[:40]!r}; correct it or leave it empty"
    )
    return None


_NUMERIC_FACTS = ("input_usd_per_mtok", "output_usd_per_mtok", "context_window")
_FACTS = ("provider", *_NUMERIC_FACTS, "capabilities", "source")


def _gather_facts(number: int, record: Mapping[str, str], facts: dict[str, str], problems: _Problems) -> None:
    """Keep a model's facts; they may stand in one of its rows or in all, but must agree (`source` is that of the first)."""
    for name in _FACTS:
        value = record.get(name, "").strip()
        known = facts.get(name, "")
        if value and known and value != known and name != "source":
            problems.add(
                number,
                f"{name} of {record['model']} must be the same in all its rows, was {known!r} and {value!r}; correct one",
            )
        elif value and not known:
            facts[name] = value
            if name in _NUMERIC_FACTS:
                figure = _read_number(number, name, value, problems)
                if name == "context_window" and figure is not None and figure < 1:
                    problems.add(number, f"context_window must be at least 1, was {value}; correct it or leave it empty")


def _make_facts(values: Mapping[str, str]) -> ModelFacts:
    numbers = {name: float(values[name]) if name in values else None for name in _NUMERIC_FACTS}
    window = numbers["context_window"]
    return ModelFacts(
        provider=values.get("provider", ""),
        input_usd_per_mtok=numbers["input_usd_per_mtok"],
        output_usd_per_mtok=numbers["output_usd_per_mtok"],
        context_window=int(window) if window else None,
        capabilities=frozenset(_split(values.get("capabilities", ""))),
        source=values.get("source", ""),
    )
