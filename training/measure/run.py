"""Rows of a plan in, results in a file out, several rows at once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field

from training.measure.answers import Answers, NoAnswerError, StoppedError
from training.measure.budget import OutOfBudgetError
from training.measure.graders import JUDGES
from training.measure.item import Grade, Grader, GradingError
from training.measure.plan import PlanRow
from training.measure.results import HOW, ResultsFile
from training.measure.store import Answer
from training.progress import Watch, unwatched


@dataclass(slots=True)
class Tally:
    """What became of the rows that had no result yet.

    Attributes:
        scored: Number of rows with a new result.
        failures: Number of rows for each reason why a call gave no answer.
        ungraded: Number of rows for each reason why an answer got no score.
        over_budget: Number of rows that did not fit under the cap.
        stopped: Number of rows that were left when the user stopped the run.
    """

    scored: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    ungraded: Counter[str] = field(default_factory=Counter)
    over_budget: int = 0
    stopped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """How the rows of a plan are measured.

    Attributes:
        answers: Asks the models.
        graders: The graders by name.
        judge: The model that judges. None: there is none.
        against: The model that a pair is compared with if a row expects no answer. None: there is none.
    """

    answers: Answers
    graders: Mapping[str, Grader]
    judge: str | None = None
    against: str | None = None

    def complete(self, row: PlanRow) -> dict[str, str]:
        """Return the columns of a row, with those that say how it is measured."""
        compared = row.grader == "judge-pair" and self.against and not row.item.expected.strip()
        judge = f"{self.judge}{f' against {self.against}' if compared else ''}" if row.grader in JUDGES else ""
        parameters = json.dumps(self.answers.make_options(row.model), sort_keys=True)
        return {**row.fields, **dict(zip(HOW, (row.grader, judge, parameters), strict=True))}

    def measure(self, row: PlanRow) -> tuple[PlanRow, Answer, Grade]:
        """Return a row with its answer and its grade.

        Raises:
            RouterError: If there is no answer, or no grade.
        """
        answer = self.answers.ask(row.model, [{"role": "user", "content": row.item.prompt}])
        return row, answer, self.graders[row.grader](answer.text, row.item)


_Measured = Future[tuple[PlanRow, Answer, Grade]]


def run_plan(
    rows: Sequence[PlanRow],
    measurement: Measurement,
    results: ResultsFile,
    *,
    workers: int,
    on_stop: Callable[[int], None],
    watch: Watch = unwatched,
) -> Tally:
    """Measure rows and write each result at once. Rows start in their order.

    At Ctrl-C no new call is made. Those under way are paid, so their results are still written.

    Args:
        rows: The rows without a result.
        measurement: How they are measured.
        results: Takes the results.
        workers: Number of rows at once.
        on_stop: Called at Ctrl-C with the number of rows that are under way.
        watch: Wraps the rows as they end.

    Raises:
        KeyboardInterrupt: At a second Ctrl-C. The rows under way then go on in their threads.
    """
    tally, pool, waiting = Tally(), ThreadPoolExecutor(workers), set[_Measured]()

    def save(future: _Measured) -> None:
        waiting.discard(future)
        _count(tally, future, measurement, results)

    try:
        for row in rows:
            waiting.add(pool.submit(measurement.measure, row))
        for future in watch(as_completed(set(waiting)), len(rows)):
            save(future)
    except KeyboardInterrupt:
        measurement.answers.stop()
        not_begun = {future for future in waiting if future.cancel()}
        tally.stopped = len(not_begun)
        on_stop(len(waiting - not_begun))
        for future in as_completed(waiting - not_begun):
            save(future)
    finally:
        # After an error, such as a full disk, no further call must be made either.
        measurement.answers.stop()
        pool.shutdown(wait=False, cancel_futures=True)
    return tally


def _count(tally: Tally, future: _Measured, measurement: Measurement, results: ResultsFile) -> None:
    """Write a result, or count why there is none."""
    try:
        row, answer, grade = future.result()
    except OutOfBudgetError:
        tally.over_budget += 1
    except StoppedError:
        tally.stopped += 1
    except NoAnswerError as error:
        tally.failures[str(error)] += 1
    except GradingError as error:
        tally.ungraded[str(error)] += 1
    else:
        results.add(measurement.complete(row), answer, grade)
        tally.scored += 1
