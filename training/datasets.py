"""Read labelled prompts and benchmark results from CSV, and tell every mistake with its row and the remedy."""

from __future__ import annotations

import csv
import gzip
import hashlib
import math
import zlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, overload

import numpy as np

from router.classifier import CONTINUES
from router.errors import RouterError

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
        group: What must stay on one side of a split with `prompt`; empty: the prompt alone.
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
    group: str = ""
    n: float | None = None
    cost_usd: float | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None
    latency_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Results(Sequence[Result]):
    """A benchmark's rows as columns, for there may be millions; reads as a sequence of `Result`.

    Attributes:
        models: Names, and
        tasks: names, and
        benchmarks: names, and
        prompts: texts that the rows' codes stand for, each once, in the order of first appearance.
        groups: Of each prompt: what must stay on one side of a split with it; empty: the prompt alone.
        model: Shape (rows,): index into `models`.
        task: Shape (rows,): index into `tasks`; −1 where the row names none.
        benchmark: Shape (rows,): index into `benchmarks`.
        prompt: Shape (rows,): index into `prompts`; −1 of an aggregate.
        score: Shape (rows,), in [0, 1].
        n: Shape (rows,), as are those below: prompts behind the score; NaN where unknown, as below.
        cost_usd: USD per prompt.
        input_tokens: Per prompt.
        output_tokens: Per prompt.
        latency_s: Seconds per prompt.
    """

    models: tuple[str, ...]
    tasks: tuple[str, ...]
    benchmarks: tuple[str, ...]
    prompts: tuple[str, ...]
    groups: tuple[str, ...]
    model: NDArray[np.int32]
    task: NDArray[np.int32]
    benchmark: NDArray[np.int32]
    prompt: NDArray[np.int32]
    score: NDArray[np.float64]
    n: NDArray[np.float64]
    cost_usd: NDArray[np.float64]
    input_tokens: NDArray[np.float64]
    output_tokens: NDArray[np.float64]
    latency_s: NDArray[np.float64]

    @classmethod
    def of(cls, rows: Iterable[Result]) -> Results:
        """Return rows as columns.

        Raises:
            ValueError: If one prompt is in two groups.
        """
        columns = _Columns()
        for row in rows:
            known = (row.n, row.cost_usd, row.input_tokens, row.output_tokens, row.latency_s)
            numbers = [math.nan if value is None else value for value in known]
            columns.add(row.model, row.task, row.benchmark, columns.place(row.prompt, row.group), (row.score, *numbers))
        return columns.finish()

    def take(self, rows: NDArray[np.integer[Any]] | NDArray[np.bool_]) -> Results:
        """Return the rows of an index or a mask, in its order; names and texts are kept, and so are the codes."""
        names = {name: getattr(self, name) for name in ("models", "tasks", "benchmarks", "prompts", "groups")}
        return Results(**names, **{name: getattr(self, name)[rows] for name in (*_CODES, *_MEASURES)})

    def __len__(self) -> int:
        return len(self.score)

    @overload
    def __getitem__(self, index: int) -> Result: ...

    @overload
    def __getitem__(self, index: slice) -> Results: ...

    def __getitem__(self, index: int | slice) -> Result | Results:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        task, prompt = int(self.task[index]), int(self.prompt[index])
        numbers = {name: float(getattr(self, name)[index]) for name in _MEASURES[1:]}
        return Result(
            model=self.models[self.model[index]],
            score=float(self.score[index]),
            task=self.tasks[task] if task >= 0 else "",
            prompt=self.prompts[prompt] if prompt >= 0 else "",
            benchmark=self.benchmarks[self.benchmark[index]],
            group=self.groups[prompt] if prompt >= 0 else "",
            **{name: None if math.isnan(value) else value for name, value in numbers.items()},
        )


_CODES = ("model", "task", "benchmark", "prompt")
_MEASURES = ("score", "n", "cost_usd", "input_tokens", "output_tokens", "latency_s")


@dataclass(slots=True)
class _Columns:
    """The columns of `Results` while they grow: numbers row after row, no object of a row is kept."""

    models: dict[str, int] = field(default_factory=dict)
    tasks: dict[str, int] = field(default_factory=dict)
    benchmarks: dict[str, int] = field(default_factory=dict)
    prompts: dict[str, int] = field(default_factory=dict)
    groups: list[str] = field(default_factory=list)
    codes: array[int] = field(default_factory=lambda: array("i"))
    measures: array[float] = field(default_factory=lambda: array("d"))

    def place(self, prompt: str, group: str) -> int:
        """Return the prompt's code; −1 where there is none.

        Raises:
            ValueError: If the prompt is in another group already.
        """
        if not prompt:
            return -1
        code = self.prompts.setdefault(prompt, len(self.groups))
        if code == len(self.groups):
            self.groups.append(group)
        elif group and not self.groups[code]:
            self.groups[code] = group
        elif group and group != self.groups[code]:
            raise ValueError(
                f"group of one prompt must be the same in all its rows, was {self.groups[code]!r} and {group!r}; correct one"
            )
        return code

    def add(self, model: str, task: str, benchmark: str, prompt: int, measures: Iterable[float]) -> None:
        """Append a row; `measures` in the order of `_MEASURES`, NaN where unknown."""
        codes = (
            self.models.setdefault(model, len(self.models)),
            self.tasks.setdefault(task, len(self.tasks)) if task else -1,
            self.benchmarks.setdefault(benchmark, len(self.benchmarks)),
            prompt,
        )
        self.codes.extend(codes)
        self.measures.extend(measures)

    def finish(self) -> Results:
        """Return the columns."""
        codes = np.asarray(self.codes, np.int32).reshape(-1, len(_CODES))
        measures = np.asarray(self.measures, np.float64).reshape(-1, len(_MEASURES))
        model, task, benchmark, prompt = np.ascontiguousarray(codes.T)
        score, n, cost_usd, input_tokens, output_tokens, latency_s = np.ascontiguousarray(measures.T)
        return Results(
            models=tuple(self.models),
            tasks=tuple(self.tasks),
            benchmarks=tuple(self.benchmarks),
            prompts=tuple(self.prompts),
            groups=tuple(self.groups),
            model=model,
            task=task,
            benchmark=benchmark,
            prompt=prompt,
            score=score,
            n=n,
            cost_usd=cost_usd,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            latency_s=latency_s,
        )


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

    results: Results
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
    """Read a long or a wide table of the layouts in `data/README.md`, told apart by the header, as a stream.

    Held in memory are each prompt once and 64 bytes a row.

    Args:
        path: As for `read_prompts`.
        tasks: The tasks a row may name; None: any.

    Raises:
        DatasetError: As for `read_prompts`.
    """
    problems = _Problems(path)
    rows = _read_fields(path, required=_required_of_benchmark)
    _, header = next(rows)
    sheet = _Sheet(header, tasks, problems)
    add = _wide_rows(sheet) if _is_wide(header) else _long_rows(sheet)
    for number, texts in rows:
        add(number, texts)
    problems.raise_any()
    results = sheet.columns.finish()
    if not results:
        raise DatasetError(f"{path} must have at least one result below its header; add rows")
    made = {model: _make_facts(sheet.facts.get(model, {})) for model in results.models}
    return BenchmarkSet(results=results, facts=made, sha256=hash_file(path))


def hash_file(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def escape_formula(text: str) -> str:
    """Return a field that a spreadsheet will not run: a leading `=`, `+`, `-` or `@` gets an apostrophe before it."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def read_table(path: Path, *, required: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each record with its number (the header is row 1), streamed."""
    rows = _read_fields(path, required=lambda _: required)
    _, header = next(rows)
    for number, texts in rows:
        yield number, dict(zip(header, texts, strict=True))


def _read_fields(path: Path, *, required: Callable[[Sequence[str]], Iterable[str]]) -> Iterator[tuple[int, list[str]]]:
    """Yield the fields of each row with its number, the header's first; `required` names columns that it must have."""
    previous = csv.field_size_limit(MAX_FIELD_CHARS)
    number = 1
    try:
        with _open(path) as stream:
            reader = csv.reader(stream, strict=True)
            header = [name.strip() for name in next(reader, [])]
            _check_encoding(path, 1, header)
            _check_header(path, header, required(header))
            yield 1, header
            for number, texts in enumerate(reader, start=2):
                if not texts:  # a blank line
                    continue
                if len(texts) != len(header):
                    raise DatasetError(
                        f"{path} row {number}: must have {len(header)} fields as the header, has {len(texts)}; "
                        "quote fields that contain commas or line breaks"
                    )
                _check_encoding(path, number, texts)
                yield number, texts
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


def _check_encoding(path: Path, number: int, texts: Iterable[str]) -> None:
    """Refuse bytes that were not UTF-8, which `surrogateescape` let through so that their row is known."""
    joined = "".join(texts)
    if joined.isascii():
        return
    try:
        joined.encode()
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


_COST = "|total_cost"
_RESPONSE = "|model_response"
_USAGE = _MEASURES[2:]
_NO_TOKENS_NOR_TIME = (math.nan,) * 3


def _is_wide(header: Sequence[str]) -> bool:
    return "model" not in header and "score" not in header and bool(_wide_models(header))


def _wide_models(header: Iterable[str]) -> tuple[str, ...]:
    """Return the models of a wide table: those whose cost or response a column holds."""
    told = [name.removesuffix(_COST).removesuffix(_RESPONSE) for name in header if name.endswith((_COST, _RESPONSE))]
    return tuple(dict.fromkeys(filter(None, told)))


def _required_of_benchmark(header: Sequence[str]) -> tuple[str, ...]:
    if not _is_wide(header):
        return ("model", "score")
    return tuple(column for model in _wide_models(header) for column in (model, model + _COST))


def _picker(header: Sequence[str], names: Sequence[str]) -> Callable[[list[str]], tuple[str, ...]]:
    """Return what picks a row's fields by the columns' names; a column that is missing is empty."""
    places = {name: place for place, name in enumerate(header)}
    pick = itemgetter(*(places.get(name, len(header)) for name in names))
    return lambda texts: pick([*texts, ""])


@dataclass(slots=True)
class _Sheet:
    """A benchmark file while it is read, and what its rows have in common whatever the layout."""

    header: Sequence[str]
    tasks: Sequence[str] | None
    problems: _Problems
    columns: _Columns = field(default_factory=_Columns)
    facts: dict[str, dict[str, str]] = field(default_factory=dict)

    def check(self, number: int, task: str, prompt: str, texts: Sequence[str]) -> None:
        if not task and not prompt.strip():
            self.problems.add(number, "a row must have a task or a prompt; fill one in")
        if task and task not in self.columns.tasks:
            _check_task(number, task, self.tasks, self.problems)
        if "\0" in "".join(texts):
            _check_nul(number, dict(zip(self.header, texts, strict=True)), self.problems)

    def place(self, number: int, prompt: str, group: str) -> int:
        try:
            return self.columns.place(prompt, group.strip())
        except ValueError as error:
            self.problems.add(number, str(error))
            return -1


_AddRow = Callable[[int, list[str]], None]


def _long_rows(sheet: _Sheet) -> _AddRow:
    """Return what adds a row of one model on one prompt or task."""
    pick = _picker(sheet.header, ("model", "score", "task", "prompt", "benchmark", "group", "n", *_USAGE))
    pick_facts = _picker(sheet.header, _FACTS) if set(_FACTS) & set(sheet.header) else None
    last_facts: dict[str, tuple[str, ...]] = {}  # of each model's last row with any, to pass over the same again
    problems = sheet.problems

    def add(number: int, texts: list[str]) -> None:
        before = problems.count
        model, score, task, prompt, benchmark, group, n, *usage = pick(texts)
        model, task = model.strip(), task.strip()
        if not model:
            problems.add(number, "model must not be empty; fill it in or remove the row")
        sheet.check(number, task, prompt, texts)
        value = _read_score(number, "score", score, problems)
        if math.isnan(value) and problems.count == before:
            problems.add(number, "score must not be empty; fill it in or remove the row")
        measures = [value, _read_n(number, n, problems)]
        measures += [_read_number(number, name, text, problems) for name, text in zip(_USAGE, usage, strict=True)]
        if problems.count > before:
            return
        if prompt:
            measures[1] = 1.0
        sheet.columns.add(model, task, benchmark, sheet.place(number, prompt, group), measures)
        if pick_facts and last_facts.get(model) != (facts := pick_facts(texts)):
            last_facts[model] = facts
            _gather_facts(number, model, facts, sheet.facts.setdefault(model, {}), problems)

    return add


def _wide_rows(sheet: _Sheet) -> _AddRow:
    """Return what adds a row of all models on one prompt; one that has no score was not measured."""
    pick = _picker(sheet.header, ("task", "prompt", "eval_name", "group"))
    models = _wide_models(sheet.header)
    places = [(name, sheet.header.index(name), name + _COST, sheet.header.index(name + _COST)) for name in models]
    problems = sheet.problems

    def add(number: int, texts: list[str]) -> None:
        before = problems.count
        task, prompt, benchmark, group = pick(texts)
        task = task.strip()
        sheet.check(number, task, prompt, texts)
        cells = [
            (name, _read_score(number, name, texts[at], problems), _read_number(number, cost, texts[cost_at], problems))
            for name, at, cost, cost_at in places
        ]
        if problems.count > before:
            return
        place, n = sheet.place(number, prompt, group), 1.0 if prompt else math.nan
        for model, score, cost_usd in cells:
            if not math.isnan(score):
                sheet.columns.add(model, task, benchmark, place, (score, n, cost_usd, *_NO_TOKENS_NOR_TIME))

    return add


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


def _read_score(number: int, name: str, text: str, problems: _Problems) -> float:
    score = _read_number(number, name, text, problems)
    if score > 1:
        problems.add(number, f"{name} must be in [0, 1], was {text}; divide it by its maximum")
    return score


def _read_n(number: int, text: str, problems: _Problems) -> float:
    n = _read_number(number, "n", text, problems)
    if n == 0:
        problems.add(number, "n must be above 0, was 0; leave it empty where it is not known, or remove the row")
    return n


def _read_number(number: int, name: str, text: str, problems: _Problems) -> float:
    """Read a number that is finite and not negative; NaN where the field is empty or wrong."""
    if not text or text.isspace():
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if 0 <= value < math.inf:
        return value
    problems.add(
        number, f"{name} must be a finite number that is not negative, was {text[:40]!r}; correct it or leave it empty"
    )
    return math.nan


_NUMERIC_FACTS = ("input_usd_per_mtok", "output_usd_per_mtok", "context_window")
_FACTS = ("provider", *_NUMERIC_FACTS, "capabilities", "source")


def _gather_facts(number: int, model: str, texts: Iterable[str], facts: dict[str, str], problems: _Problems) -> None:
    """Keep a model's facts; they may stand in one of its rows or in all, but must agree (`source` is that of the first)."""
    for name, text in zip(_FACTS, texts, strict=True):
        value, known = text.strip(), facts.get(name, "")
        if value and known and value != known and name != "source":
            problems.add(
                number, f"{name} of {model} must be the same in all its rows, was {known!r} and {value!r}; correct one"
            )
        elif value and not known:
            facts[name] = value
            if name in _NUMERIC_FACTS:
                figure = _read_number(number, name, value, problems)
                if name == "context_window" and figure < 1:
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
