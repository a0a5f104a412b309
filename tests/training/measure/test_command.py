import csv
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from router.model_folder.load import load_profiles
from tests.training.measure.model_server import ModelServer
from training.data.benchmark import read_benchmark
from training.measure.answers import price_most

Run = Callable[..., tuple[int, str, str]]
Plan = Callable[..., Path]
ROOT = Path(__file__).parents[3]
SMALL, LARGE = "gpt-4.1-mini", "gpt-5.5"


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def answer_sums(model: str, messages: list[dict[str, str]]) -> str:
    """The large model is always right, the small one only about small numbers."""
    a, b = map(int, re.findall(r"\d+", messages[-1]["content"]))
    return f"The answer is {a + b if model == LARGE or a < 3 else 0}."


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "results.csv"


@pytest.fixture
def measure(run_command: Run, config: Path, out: Path) -> Callable[..., tuple[int, str, str]]:
    def run(plan: Path, *more: object, budget: float = 1.0) -> tuple[int, str, str]:
        return run_command("measure", plan, "--config", config, "--out", out, "--budget-usd", budget, *more)

    return run


@pytest.fixture
def sums(write_plan: Plan) -> Path:
    return write_plan(*((f"{i} + 1?", model, "number", str(i + 1)) for i in range(1, 5) for model in (SMALL, LARGE)))


def start(plan: Path, config: Path, out: Path, *more: object) -> subprocess.Popen[str]:
    # A shell's background job ignores SIGINT, and its children inherit that.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from training.cli import main; main()"
    command = [sys.executable, "-c", code, "measure", plan, "--config", config]
    command += ["--out", out, "--budget-usd", "1", *map(str, more)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(holds: Callable[[], bool], running: subprocess.Popen[str]) -> None:
    while not holds():
        assert running.poll() is None, running.communicate()
        time.sleep(0.01)


def test_a_plan_becomes_a_benchmark_and_is_never_paid_twice(
    measure: Run, server: ModelServer, sums: Path, out: Path, model_folder: Path
) -> None:
    server.answer = answer_sums
    code, text, _ = measure(sums)
    assert code == 0
    assert len(server.asked) == 8
    profiles = {profile.name: profile for profile in load_profiles(model_folder)}
    usd = sum(
        4 * (10 * (profiles[name].input_usd_per_mtok or 0) + 5 * (profiles[name].output_usd_per_mtok or 0)) / 1e6
        for name in (SMALL, LARGE)
    )
    assert f"{out}: 8 results, 8 of them new; {usd:.6g} of 1 USD spent" in text
    assert re.search(rf"{re.escape(LARGE)} +4  1.000 \[0.510, 1.000\]", text)
    assert re.search(rf"{re.escape(SMALL)} +4  0.500 \[0.150, 0.850\]", text)
    assert f"train --prompts data/prompts.csv --benchmark {out}" in text
    found = read_benchmark(out)
    assert found.notes == ()
    assert {(row.model, row.prompt): row.score for row in found.results} == {
        (model, f"{i} + 1?"): float(model == LARGE or i < 3) for i in range(1, 5) for model in (SMALL, LARGE)
    }
    assert {(row["input_tokens"], row["output_tokens"]) for row in read_rows(out)} == {("10", "5")}
    # A model folder trained on this file has the prices that the next measurement needs.
    for name in (SMALL, LARGE):
        facts, profile = found.facts[name], profiles[name]
        assert (facts.input_usd_per_mtok, facts.output_usd_per_mtok) == (
            profile.input_usd_per_mtok,
            profile.output_usd_per_mtok,
        )
        assert (facts.capabilities, facts.context_window) == (profile.capabilities, profile.context_window)
    # The same again asks nothing, and a changed grader grades the answers that are paid.
    before = out.read_bytes()
    assert measure(sums)[0] == 0
    assert out.read_bytes() == before
    sums.write_text(sums.read_text().replace(",number,", ",regex,"))
    code, text, _ = measure(sums)
    assert code == 0
    assert "8 results were graded in another way and are replaced" in text
    assert f"8 of them new; {usd:.6g} of 1 USD spent" in text
    assert len(server.asked) == 8
    assert {row["grader"] for row in read_rows(out)} == {"regex"}


def test_a_killed_command_is_resumed_without_paying_again(
    server: ModelServer, config: Path, out: Path, write_plan: Plan, model_folder: Path
) -> None:
    prompts, released = [f"{i:02} + 1?" for i in range(12)], threading.Event()

    def answer(model: str, messages: list[dict[str, str]]) -> str:
        if len(server.asked) > 6:
            released.wait(60)
        return answer_sums(model, messages)

    server.answer = answer
    plan = write_plan(*((prompt, LARGE, "regex", ".") for prompt in prompts))
    running = start(plan, config, out, "--workers", 2, "--max-tokens", 50)
    # Both workers wait for an answer, and what came before is written.
    wait_for(lambda: len(server.asked) == 8 and len(read_rows(out)) == 6, running)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    released.set()
    kept = read_rows(out)
    done = start(plan, config, out, "--workers", 2, "--max-tokens", 50)
    text, error = done.communicate(timeout=120)
    assert done.returncode == 0, error
    assert "6 rows have a result already" in text
    assert read_rows(out)[:6] == kept
    assert sorted(row["prompt"] for row in read_rows(out)) == prompts
    # Only the two calls that the kill cut off are made again. They count with the most that they can have cost.
    again = {prompt for (_, prompt), n in Counter(server.asked).items() if n == 2}
    assert len(server.asked) == 14
    assert len(again) == 2
    assert not again & {row["prompt"] for row in kept}
    (profile,) = (profile for profile in load_profiles(model_folder) if profile.name == LARGE)
    most = price_most(profile, [{"role": "user", "content": prompts[0]}], {"max_tokens": 50})
    usd = 2 * most + sum(float(row["cost_usd"]) for row in read_rows(out))
    assert f"12 results, 6 of them new; {usd:.6g} of 1 USD spent" in text


def test_ctrl_c_finishes_what_is_paid_and_starts_nothing_new(
    server: ModelServer, config: Path, out: Path, write_plan: Plan
) -> None:
    server.answer = answer_sums
    plan = write_plan(*((f"{i} + 1?", LARGE, "number", str(i + 1)) for i in range(1, 25)))
    server.hold.clear()
    running = start(plan, config, out, "--workers", 2)
    wait_for(lambda: len(server.asked) == 2, running)
    running.send_signal(signal.SIGINT)
    assert running.stderr
    assert "stopping: 2 rows under way are finished" in running.stderr.readline()
    server.hold.set()
    text, _ = running.communicate(timeout=120)
    assert running.returncode == 130
    assert len(read_rows(out)) == len(server.asked) == 2
    assert "rows left, because the run was stopped: 22" in text
    assert "the same command again asks for these only" in text


def test_a_second_ctrl_c_ends_at_once(server: ModelServer, config: Path, out: Path, sums: Path) -> None:
    server.hold.clear()
    running = start(sums, config, out)
    wait_for(lambda: len(server.asked) == 4, running)
    running.send_signal(signal.SIGINT)
    assert running.stderr
    assert "stopping" in running.stderr.readline()
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    assert running.returncode == 130
    assert read_rows(out) == []


def test_the_cap_holds_for_what_is_started_and_over_all_runs(
    measure: Run, server: ModelServer, out: Path, write_plan: Plan, model_folder: Path
) -> None:
    prompts = [f"{i:02} + 1?" for i in range(20)]
    plan = write_plan(*((prompt, LARGE, "regex", ".") for prompt in prompts))
    (profile,) = (profile for profile in load_profiles(model_folder) if profile.name == LARGE)
    most = price_most(profile, [{"role": "user", "content": prompts[0]}], {"max_tokens": 50})
    # Each answer costs what the server reports: a third of the most.
    server.usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "cost": most / 3}  # type: ignore[dict-item]
    code, text, _ = measure(plan, "--max-tokens", 50, "--workers", 8, budget=most * 3.1)
    assert code == 0
    # 7 thirds are spent, and 0.77 of a call are left: no eighth one may begin. Every worker may have waited for that.
    assert len(server.asked) == 7
    assert "rows left, because a call may cost more than the rest of the budget: 13" in text
    assert measure(plan, "--max-tokens", 50, budget=most * 3.1)[0] == 0
    assert len(server.asked) == 7
    assert measure(plan, "--max-tokens", 50, budget=most * 3.4)[0] == 0
    assert len(server.asked) == 8
    assert len(read_rows(out)) == 8


def test_a_failed_call_is_told_not_scored_and_asked_again_by_the_next_run(
    measure: Run, server: ModelServer, sums: Path, out: Path
) -> None:
    server.answer = lambda model, messages: 400 if "3" in messages[-1]["content"] else answer_sums(model, messages)
    code, text, error = measure(sums)
    assert code == 0
    assert len(read_rows(out)) == 6
    assert "rows failed and not scored: 2" in text
    assert f"1 × {LARGE}: unable, BadRequestError 400" in text
    assert "3 + 1?" not in text + error
    server.answer = answer_sums
    code, text, _ = measure(sums)
    assert "8 results, 2 of them new" in text
    assert len(server.asked) == 10


def test_a_judge_is_paid_from_the_same_budget_and_its_agreement_is_reported(
    measure: Run, server: ModelServer, out: Path, write_plan: Plan
) -> None:
    def answer(model: str, messages: list[dict[str, str]]) -> str:
        if messages[0]["role"] != "system":
            return f"a greeting by {model}"
        task = messages[1]["content"]
        if "SCORE" in messages[0]["content"]:
            return "no form" if "mumble" in task else "SCORE: 8"
        # It has a preference of its own for one prompt, and for the first place otherwise.
        return "VERDICT: A" if "any" in task or task.index(SMALL) < task.index(LARGE) else "VERDICT: B"

    server.answer = answer
    plan = write_plan(
        ("greet me", SMALL, "judge", ""),
        ("mumble", SMALL, "judge", ""),
        ("greet me", LARGE, "judge-pair", "hello by nobody, any"),
        ("greet us", SMALL, "judge-pair", ""),
    )
    code, text, _ = measure(plan, "--judge", LARGE, "--against", LARGE)
    assert code == 0
    scores = {(row["prompt"], row["grader"]): (row["score"], row["judge"], row["judge_agreed"]) for row in read_rows(out)}
    assert scores == {
        ("greet me", "judge"): ("0.8", LARGE, ""),
        ("greet me", "judge-pair"): ("0.5", LARGE, "0"),
        ("greet us", "judge-pair"): ("1.0", f"{LARGE} against {LARGE}", "1"),
    }
    assert "the judge said the same in both orders of 1 of 2 pairs (50%)" in text
    assert "rows without a score: 1" in text
    assert "two replies of the judge had no score" in text
    # 4 answers, the one to compare with, 1 + 2 judgements alone and 2 + 2 of pairs; all are paid once.
    assert len(server.asked) == 12
    code, again, _ = measure(plan, "--judge", LARGE, "--against", LARGE)
    assert len(server.asked) == 12
    assert re.findall("[0-9.e-]+ of 1 USD spent", again) == re.findall("[0-9.e-]+ of 1 USD spent", text)


@pytest.mark.skipif(os.name != "posix", reason="only POSIX systems limit code")
def test_code_runs_only_if_the_user_allows_it(measure: Run, server: ModelServer, out: Path, write_plan: Plan) -> None:
    server.answer = lambda *_: "```python\ndef add(a, b):\n    return a + b\n```"
    plan = write_plan(
        ("write add", SMALL, "code", "assert add(1, 2) == 3"), ("write sub", SMALL, "code", "assert sub(1, 2) == 3")
    )
    code, _, error = measure(plan)
    assert code == 2
    assert "allow it with --run-code" in error
    assert server.asked == []
    assert measure(plan, "--run-code")[0] == 0
    assert [row["score"] for row in sorted(read_rows(out), key=lambda row: row["prompt"])] == ["1.0", "0.0"]


def test_similarity_uses_the_encoder_of_the_model_folder(
    measure: Run, server: ModelServer, out: Path, write_plan: Plan
) -> None:
    server.answer = lambda _, messages: messages[-1]["content"]
    same, near, far = "The cat sleeps on the sofa.", "A cat is sleeping on a couch.", "Interest rates rose in May."
    assert measure(write_plan(*((text, SMALL, "similarity", same) for text in (same, near, far))))[0] == 0
    scores = {row["prompt"]: float(row["score"]) for row in read_rows(out)}
    assert scores[same] == pytest.approx(1)
    assert scores[same] > scores[near] > scores[far] >= 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--budget-usd", 0), "--budget-usd must be above 0"),
        (("--grader", "judge"), "name it with --judge"),
        (("--grader", "judge", "--judge", "gpt-9"), "unknown model 'gpt-9'"),
        (("--grader", "vibes"), "grader must be one of exact"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_paid(
    options: tuple[Any, ...], message: str, measure: Run, server: ModelServer, write_plan: Plan
) -> None:
    code, _, error = measure(write_plan(("hi", SMALL, "", "")), *options)
    assert code == 2
    assert message in error
    assert server.asked == []


def test_a_configuration_without_endpoints_is_refused(measure: Run, config: Path, sums: Path) -> None:
    config.write_text("")
    code, _, error = measure(sums)
    assert code == 2
    assert "no model can be called" in error
