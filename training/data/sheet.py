"""A benchmark file while it is being read: the results and facts so far, and the checks that all layouts share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from training.data.facts import FactCollector
from training.data.fields import check_nul
from training.data.names import find_known
from training.data.problems import SHOWN_CHARS, Problems
from training.data.results import Columns


@dataclass(slots=True)
class Sheet:
    """A benchmark file while it is being read.

    Attributes:
        header: The column names.
        tasks: The tasks that a row may name. None: any task.
        problems: Collects the mistakes.
        decimal_comma: Whether the file writes decimals with commas.
        columns: The results so far.
        facts: The facts of the models so far.
        unknown: The unknown tasks so far, each with its first row.
    """

    header: Sequence[str]
    tasks: Sequence[str] | None
    problems: Problems
    decimal_comma: bool = False
    columns: Columns = field(default_factory=Columns)
    facts: FactCollector = field(init=False)
    unknown: dict[str, int] = field(default_factory=dict)
    # The known task of each spelling that occurred.
    _spelled: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.facts = FactCollector(self.problems, decimal_comma=self.decimal_comma)

    def find_task(self, number: int, text: str) -> str | None:
        """Return the task of a row as the list of tasks spells it. Empty if it names none, None if it is unknown."""
        task = text.strip()
        if self.tasks is None or not task:
            return task
        if task not in self._spelled and task not in self.unknown:
            known = find_known(task, self.tasks)
            if known is None:
                self.unknown[task] = number
            else:
                self._spelled[task] = known
        return self._spelled.get(task)

    def report_unknown(self) -> None:
        """Report the unknown tasks: each once, or all at once if no other task occurred."""
        known = f"known: {', '.join(self.tasks or ())}"
        if len(self.unknown) > 1 and not self._spelled:
            names = ", ".join(repr(task[:SHOWN_CHARS]) for task in self.unknown)
            row = next(iter(self.unknown.values()))
            remedy = "rename the tasks of one file, or leave the column empty in rows with a prompt"
            self.problems.add(row, f"none of the tasks of the file is known, got {names}; {known}; {remedy}")
            return
        remedy = "rename it, remove its rows, or leave it empty in rows with a prompt"
        for task, row in self.unknown.items():
            self.problems.add(row, f"task {task[:SHOWN_CHARS]!r} is unknown; {known}; {remedy}")

    def check(self, number: int, task: str | None, prompt: str, texts: Sequence[str]) -> None:
        """Report a row without task and prompt, or with NUL characters.

        Args:
            number: Number of the row.
            task: Its task. Empty if it names none.
            prompt: Its prompt. Empty if it has none.
            texts: All its fields.
        """
        if task == "" and not prompt:
            self.problems.add(number, "a row must have a task or a prompt, got neither; fill one in")
        if "\0" in "".join(texts):  # look first, because a dict for each of millions of rows is slow
            check_nul(number, dict(zip(self.header, texts, strict=True)), self.problems)

    def add(self, number: int, model: str, task: str, benchmark: str, prompt: int, measures: Sequence[float]) -> None:
        """Add a result. The arguments after the number of its row are as for `Columns.add`."""
        self.columns.add(model, task, benchmark, prompt, measures, number=number)

    def encode_prompt(self, number: int, prompt: str, group: str) -> int:
        """Return the code of a prompt, or −1 if the row has none. Report a prompt with two groups."""
        try:
            return self.columns.prompts.encode(prompt, group.strip())
        except ValueError as error:
            self.problems.add(number, str(error))
            return -1
