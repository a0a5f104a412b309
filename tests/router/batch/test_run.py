import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from router import InputError, Router, RouterError
from router.batch.decided import COLUMNS
from router.batch.engines import LocalEngine, RayEngine
from router.batch.job import Job, OutFolder
from router.batch.run import make_job, run_batch
from router.model_folder.manifest import PROFILES
from router.options import RouteOptions
from tests.router.batch.conftest import PROMPTS, HereEngine, here, read_rows, write_rows
from tests.router.model_folder.damages import rewrite

# Ray warns about its own settings.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray", "ignore::FutureWarning:ray")
ENDINGS = ("csv", "jsonl", "parquet")
ROWS = [{"id": f"row {i}", "prompt": text} for i, text in enumerate(PROMPTS)]
# The first tier is loaded and asked in less time.
FIRST = RouteOptions(tier="first")
ROOT = Path(__file__).parents[3]


@pytest.fixture
def make(tmp_path: Path, model_folder: Path) -> Callable[..., Job]:
    """Makes a batch of all prompts in blocks of three rows."""

    def make(ending: str = "csv", out: str = "out", **options: Any) -> Job:
        path = tmp_path / f"in.{ending}"
        if not path.exists():
            write_rows(path, ROWS)
        return make_job(str(path), tmp_path / out, **{"block_rows": 3, "model": model_folder, "options": FIRST, **options})

    return make


def as_text(value: object) -> str:
    return "" if value is None else str(value)


def assert_equal_to_route_many(folder: Path, router: Router, rows: list[dict[str, Any]] = ROWS, **options: Any) -> None:
    expected = router.route_many([row["prompt"] for row in rows], **options)
    found = read_rows(folder)
    assert [row["id"] for row in found] == [row["id"] for row in rows]
    assert [row["prompt"] for row in found] == [row["prompt"] for row in rows]
    for row, decision in zip(found, expected, strict=True):
        score = decision.scores[decision.model]
        values = (decision.task, decision.prediction.confidence, decision.model, score.quality, score.cost_usd)
        assert [as_text(row[name]) for name in COLUMNS[:5]] == [as_text(value) for value in values]
        assert not row["error"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_files_of_each_format_come_out_with_the_decisions_of_route_many(
    ending: str, make: Callable[..., Job], shipped: Router
) -> None:
    job = make(ending, options=None)
    totals = run_batch(job, here(job))
    assert_equal_to_route_many(Path(job.out), shipped)
    batch = shipped.route_many(PROMPTS)
    assert (totals.rows, totals.errors, totals.cost_usd) == (len(PROMPTS), 0, batch.cost_usd)
    assert totals.mean_quality == pytest.approx(batch.quality, rel=1e-15)
    assert sum(totals.tasks.values()) == sum(totals.models.values()) == len(PROMPTS)
    assert sorted(part.name for part in Path(job.out).glob("part-*")) == [f"part-0000{i}.{ending}" for i in range(4)]


def test_both_engines_write_the_same_bytes_in_each_format(make: Callable[..., Job], cluster: None) -> None:
    for ending, budget_usd in (("csv", 0.004), ("jsonl", None), ("parquet", None)):
        jobs = [make(ending, f"{ending}-{engine}", budget_usd=budget_usd) for engine in ("here", "local", "ray")]
        engines = [here(jobs[0]), partial(LocalEngine, jobs[1], 2), partial(RayEngine, jobs[2], 2)]
        totals = [run_batch(job, engine) for job, engine in zip(jobs, engines, strict=True)]
        assert totals[0] == totals[1] == totals[2]
        contents = [{part.name: part.read_bytes() for part in Path(job.out).glob("part-*")} for job in jobs]
        assert len(contents[0]) == 4
        assert contents[0] == contents[1] == contents[2]


@pytest.mark.parametrize("budget_usd", [0.002, 0.02, 10.0])
def test_one_budget_for_all_blocks_buys_what_route_many_buys(
    budget_usd: float, make: Callable[..., Job], shipped: Router
) -> None:
    job = make(budget_usd=budget_usd)
    totals = run_batch(job, here(job))
    assert_equal_to_route_many(Path(job.out), shipped, budget_usd=budget_usd, tier="first")
    assert totals.cost_usd is not None
    assert totals.cost_usd <= budget_usd * (1 + 1e-9)


@pytest.mark.parametrize("step", ["decide", "score", "find_core", "spend"])
def test_a_batch_that_stops_after_any_block_goes_on_without_doing_one_twice(
    step: str, make: Callable[..., Job], tmp_path: Path
) -> None:
    class Stopping(HereEngine):
        def run(self, now: Any, blocks: Any) -> Any:
            for block in super().run(now, blocks):
                done.append((now, block.number))
                yield block
                if now == step and len([entry for entry in done if entry[0] == step]) == 2:
                    raise KeyboardInterrupt

    done: list[tuple[str, int]] = []
    budget_usd = None if step == "decide" else 0.004
    whole, job = make(out="whole", budget_usd=budget_usd), make(budget_usd=budget_usd)
    expected = run_batch(whole, here(whole))
    with pytest.raises(KeyboardInterrupt):
        run_batch(job, partial(_Entered, Stopping(job)))
    left_over = Path(job.out) / ".part-00003.csv.1.tmp"
    left_over.write_text("half a")
    assert run_batch(job, partial(_Entered, Stopping(job))) == expected
    assert len(done) == len(set(done))
    assert not left_over.exists()
    assert read_rows(Path(job.out)) == read_rows(Path(whole.out))
    # A complete batch does nothing more.
    assert run_batch(job, partial(pytest.fail, "nothing is left to do")) == expected


class _Entered:
    def __init__(self, engine: HereEngine) -> None:
        self._engine = engine

    def __enter__(self) -> HereEngine:
        return self._engine

    def __exit__(self, *error: object) -> None:
        pass


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prefix": "routed_"}, "prefix '', now it is 'routed_'"),
        ({"block_rows": 4}, "block_rows 3, now it is 4"),
        ({"options": RouteOptions(prefer="cheap")}, "options {'tier': 'first'}, now it is {'prefer': 'cheap'}"),
        ({"budget_usd": 1.0}, "budget_usd None, now it is 1.0"),
    ],
)
def test_a_batch_is_resumed_with_the_same_options_only(
    change: dict[str, Any], message: str, make: Callable[..., Job]
) -> None:
    job = make()
    OutFolder(Path(job.out), ".csv").open(job)
    other = make(**change)
    with pytest.raises(InputError) as raised:
        run_batch(other, here(other))
    assert message in str(raised.value)
    assert "choose another --out" in str(raised.value)


def test_a_batch_is_not_resumed_on_other_files_nor_into_a_folder_of_something_else(
    make: Callable[..., Job], tmp_path: Path
) -> None:
    job = make()
    OutFolder(Path(job.out), ".csv").open(job)
    with (tmp_path / "in.csv").open("a") as stream:
        stream.write("row 11,hello\n")
    other = make()
    with pytest.raises(InputError, match="other input files, or they have changed since"):
        run_batch(other, here(other))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("mine")
    taken = make(out="taken")
    with pytest.raises(InputError, match="must be a new or empty folder"):
        run_batch(taken, here(taken))


def test_faulty_rows_come_out_in_their_place_with_an_error(tmp_path: Path, model_folder: Path) -> None:
    path = tmp_path / "in.jsonl"
    lines = ['{"prompt": "hello"}', '{"prompt": null}', "no JSON, a secret", '{"text": "x"}', '{"prompt": 7}']
    path.write_text("\n".join(lines))
    job = make_job(str(path), tmp_path / "out", model=model_folder, block_rows=2, options=FIRST)
    totals = run_batch(job, here(job))
    found = read_rows(Path(job.out))
    assert [row["error"] is None for row in found] == [True, False, False, False, False]
    assert (totals.rows, totals.errors, found[4]["prompt"]) == (5, 4, 7)
    assert "secret" not in json.dumps(found)


def test_chat_messages_are_read_from_json_and_from_lists(tmp_path: Path, shipped: Router, model_folder: Path) -> None:
    chat = [
        {"role": "user", "content": "prove that sqrt(2) is irrational"},
        {"role": "assistant", "content": "Assume it is rational."},
        {"role": "user", "content": "go on"},
    ]
    expected = shipped.route(chat)
    for name, value in (
        ("a.csv", json.dumps(chat)),
        ("b.jsonl", chat),
        ("c.parquet", chat),
        ("d.parquet", json.dumps(chat)),
    ):
        path = write_rows(tmp_path / name, [{"messages": value}])
        job = make_job(str(path), tmp_path / f"out-{name}", model=model_folder, column="messages")
        run_batch(job, here(job))
        (row,) = read_rows(Path(job.out))
        assert (row["task"], row["model"], row["source"]) == (expected.task, expected.model, expected.prediction.source)
    path = write_rows(tmp_path / "e.csv", [{"messages": "[{"}])
    job = make_job(str(path), tmp_path / "out-e", model=model_folder, column="messages")
    assert run_batch(job, here(job)).errors == 1


@pytest.mark.parametrize("ending", ENDINGS)
def test_no_rows_are_one_empty_part(ending: str, tmp_path: Path, model_folder: Path) -> None:
    path = write_rows(tmp_path / f"in.{ending}", ROWS)
    if ending == "parquet":
        import pyarrow.parquet as pq

        pq.write_table(pq.read_table(path).slice(0, 0), path)
    else:
        path.write_text("id,prompt\n" if ending == "csv" else "")
    for budget_usd in (None, 1.0):
        job = make_job(str(path), tmp_path / f"out {budget_usd}", model=model_folder, options=FIRST, budget_usd=budget_usd)
        totals = run_batch(job, here(job))
        assert (totals.rows, read_rows(Path(job.out))) == (0, [])
        assert [part.name for part in Path(job.out).glob("part-*")] == [f"part-00000.{ending}"]


def test_a_configuration_names_the_models(tmp_path: Path, model_folder: Path) -> None:
    path, config = write_rows(tmp_path / "in.csv", ROWS), tmp_path / "router.toml"
    config.write_text(f"model_folder = {str(model_folder)!r}\n[models.'gpt-5.5']\n[models.'gpt-4.1-mini']\n")
    job = make_job(str(path), tmp_path / "out", config=config)
    totals = run_batch(job, here(job))
    assert set(totals.models) <= {"gpt-5.5", "gpt-4.1-mini"}
    config.write_text(config.read_text() + "[models.'gpt-5']\n")
    changed = make_job(str(path), tmp_path / "out", config=config)
    with pytest.raises(InputError, match="config_sha256"):
        run_batch(changed, here(changed))
    with pytest.raises(InputError, match="leave out --model and --strategy"):
        make_job(str(path), tmp_path / "out", config=config, strategy="contextual")


@pytest.mark.parametrize("configured", [False, True])
def test_batch_prices_buy_more_for_the_same_budget(configured: bool, tmp_path: Path, folder: Path) -> None:
    profiles = json.loads((folder / PROFILES).read_bytes())
    for profile in profiles:
        profile |= {f"batch_{kind}_usd_per_mtok": profile[f"{kind}_usd_per_mtok"] / 2 for kind in ("input", "output")}
    rewrite(folder, PROFILES, json.dumps(profiles).encode())
    path, config = write_rows(tmp_path / "in.csv", ROWS), tmp_path / "router.toml"
    config.write_text(f"model_folder = {str(folder)!r}\n")
    source: dict[str, Any] = {"config": config} if configured else {"model": folder}
    found = []
    for usd, batch_prices in ((0.004, False), (0.002, True)):
        job = make_job(str(path), tmp_path / f"{usd}", **source, options=FIRST, budget_usd=usd, batch_prices=batch_prices)
        totals = run_batch(job, here(job))
        found.append((totals.models, totals.cost_usd))
    # All prices are half as high, and so is the budget: it buys the same models.
    (models, usd), (batched, half) = found
    assert batched == models
    assert half == pytest.approx(usd / 2)


def test_an_error_of_a_worker_ends_the_batch_with_the_same_error(
    make: Callable[..., Job], tmp_path: Path, cluster: None
) -> None:
    (tmp_path / "in.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b", "model": "c"}\n')
    job = make("jsonl")
    for engine in (partial(LocalEngine, job, 1), partial(RayEngine, job, 1)):
        with pytest.raises(RouterError, match=r"already has fields named \['model'\]"):
            run_batch(job, engine)


def test_the_blocks_of_an_actor_that_dies_are_done_again(
    make: Callable[..., Job], cluster: None, kill_one: Callable[[str], None]
) -> None:
    class Killing(RayEngine):
        def run(self, step: Any, blocks: Any) -> Any:
            for count, block in enumerate(super().run(step, blocks)):
                if count == 0:
                    kill_one("RayWorker")
                yield block

    job = make()
    assert run_batch(job, partial(Killing, job, 1)).rows == len(PROMPTS)


def test_actors_for_which_the_cluster_has_no_processor_hold_no_block(make: Callable[..., Job], cluster: None) -> None:
    job = make()
    assert run_batch(job, partial(RayEngine, job, 6)).rows == len(PROMPTS)


def test_a_killed_command_is_resumed_without_losing_or_repeating_a_row(tmp_path: Path, model_folder: Path) -> None:
    rows = [{"id": str(i), "prompt": f"write a haiku\nabout the number {i}"} for i in range(600)]
    path, out = write_rows(tmp_path / "in.csv", rows), tmp_path / "out"
    command = [sys.executable, "-c", "from router.cli import main; main()", "batch", "--in", path, "--out", out]
    command += ["--block-rows", "20", "--workers", "1", "--model", model_folder, "--tier", "first"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    for parts in (2, 6):
        running = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        while len(list(out.glob("part-*"))) < parts:
            assert running.poll() is None, running.stderr and running.stderr.read().decode()
        running.send_signal(signal.SIGKILL)
        assert running.wait() == -signal.SIGKILL
        if running.stderr:
            running.stderr.close()
    kept = {part.name: part.stat().st_mtime_ns for part in out.glob("part-*")}
    assert 6 <= len(kept) < 30
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert f"{out}: 600 rows, 0 of them without a decision" in done.stdout
    assert [row["id"] for row in read_rows(out)] == [row["id"] for row in rows]
    assert {name: (out / name).stat().st_mtime_ns for name in kept} == kept
