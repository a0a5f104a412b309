import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from router import Router
from router.cli import main
from router.model_folder.manifest import PROFILES
from tests.router.model_folder.damages import rewrite

Run = Callable[..., tuple[int, str, str]]
PROMPT = "prove that sqrt(2) is irrational"


@pytest.fixture
def run(model_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command line; gives exit code, standard output and standard error."""

    def run(*arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
        monkeypatch.setenv("LLM_ROUTER_MODEL", str(model_folder))
        monkeypatch.setattr(sys, "argv", ["llm-router", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as left:
            main()
        return int(left.value.code or 0), *capsys.readouterr()

    return run


def test_route_prints_model_task_and_the_five_best(run: Run, shipped: Router) -> None:
    code, out, err = run("route", PROMPT)
    decision = shipped.route(PROMPT)
    assert (code, err) == (0, "")
    assert out.startswith(f"{decision.model}   (task: math {decision.prediction.confidence:.2f}, by classifier)")
    assert [line.split()[1] for line in out.splitlines()[3:]] == list(decision.ranking[:5])


def test_json_is_the_decision(run: Run, shipped: Router) -> None:
    code, out, _ = run("route", PROMPT, "--json", "--prefer", "cheap", "--needs", "vision", "--focus", "technical")
    assert code == 0
    assert json.loads(out) == shipped.route(PROMPT, prefer="cheap", needs=["vision"], focus="technical").to_dict()


def test_explain_is_the_decisions(run: Run, shipped: Router) -> None:
    assert run("route", PROMPT, "--explain") == (0, shipped.route(PROMPT).explain() + "\n", "")


def test_a_dash_reads_standard_input(run: Run) -> None:
    assert run("route", "-", stdin=PROMPT.encode()) == run("route", PROMPT)


@pytest.mark.parametrize("stdin", [b"\xff\xfe caf\xe9 \x80", b"", b"\0"])
def test_standard_input_may_be_any_bytes(run: Run, stdin: bytes) -> None:
    code, out, _ = run("route", "-", stdin=stdin)
    assert code == 0
    assert "note: the classifier is unsure" in out or "by classifier" in out


@pytest.mark.parametrize(
    ("arguments", "code", "output"),
    [
        (["route", "x", "--prefer", "best"], 2, "error: prefer must be one of"),
        (["route", "x", "--quality-floor", "2"], 2, "error: quality_floor must be"),
        (["route", "x", "--allowed", "nobody"], 2, "error: allowed names unknown models ['nobody']"),
        (["route"], 2, "Missing argument"),
        (["route", "x", "--quality-floor", "high"], 2, "Invalid value for '--quality-floor'"),
        (["fly"], 2, "No such command"),
        (["route", "x", "--needs", "telepathy"], 3, "lacks telepathy"),
        (["route", "x", "--max-cost-usd", "0"], 3, "is over 0"),
        (["route", "x", "--model", "/nowhere"], 4, "error: /nowhere is not a folder"),
        (["check", "/nowhere"], 4, "error: /nowhere is not a folder"),
        (["models", "--model", "/nowhere"], 4, "error: /nowhere is not a folder"),
    ],
)
def test_a_mistake_is_output_on_standard_error_with_its_exit_code(
    run: Run, arguments: list[str], code: int, output: str
) -> None:
    left, out, err = run(*arguments)
    assert (left, out) == (code, "")
    assert output in err


def test_models_lists_every_model(run: Run, shipped: Router) -> None:
    code, out, _ = run("models")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[1:]] == [profile.name for profile in shipped.profiles]


@pytest.mark.parametrize(("as_of", "warns"), [("2020-01", True), ("9999-01", False), ("", False)])
def test_models_warns_of_old_prices(run: Run, folder: Path, as_of: str, warns: bool) -> None:
    profiles = [profile | {"prices_as_of": as_of} for profile in json.loads((folder / PROFILES).read_bytes())]
    rewrite(folder, PROFILES, json.dumps(profiles).encode())
    code, _, err = run("models", "--model", str(folder))
    n, first = len(profiles), profiles[0]["name"]
    warning = f"warning: the prices of {n} of {n} models are more than 90 days old ({first}: {as_of}); update them"
    assert (code, err.startswith(warning), bool(err)) == (0, warns, warns)


def test_check_says_what_is_in_a_sound_folder(run: Run, folder: Path) -> None:
    code, out, _ = run("check", str(folder))
    assert code == 0
    assert out.startswith(f"{folder}: sound\n")
    assert "multilingual-e5-small, tuned and distilled, 384 dimensions" in out


@pytest.mark.parametrize("name", ["classifier.safetensors", "report.md"])
def test_check_refuses_a_folder_with_any_altered_file(run: Run, folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).unlink()
    (folder / name).write_bytes(content + b" ")
    code, _, err = run("check", str(folder))
    assert (code, name in err) == (4, True)


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_the_installed_command_explains_in_any_encoding(model_folder: Path, encoding: str) -> None:
    command = [Path(sys.executable).with_name("llm-router"), "route", PROMPT, "--explain", "--model", model_folder]
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"task: math, by classifier")


def test_config_check_says_what_is_served_where_and_names_no_key(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SET_KEY", "sk-secret")
    monkeypatch.setitem(sys.modules, "openai", None)  # checking needs no SDK
    file = tmp_path / "router.toml"
    file.write_text(
        "[endpoints.a]\nbase_url = 'http://127.0.0.1:9/v1'\nkey_env = 'SET_KEY'\n"
        "[endpoints.b]\nbase_url = 'http://127.0.0.1:8/v1'\nkey_env = 'UNSET_KEY'\n"
        "[models.'gpt-5.5']\nserved_by = [{endpoint = 'a'}, {endpoint = 'b', weight = 3}]\n"
        "requests_per_minute = 5\nfallbacks = []\n[spend]\nusd = 2\n"
    )
    code, out, err = run("config", "check", str(file))
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"{file}: 1 models, strategy contextual, prefer balanced",
        "spend: 2 USD per 86400 s, then refuse",
        "gpt-5.5  5 requests per minute, then no other model",
        "  http://127.0.0.1:9/v1  as gpt-5.5, weight 1, key in $SET_KEY",
        "  http://127.0.0.1:8/v1  as gpt-5.5, weight 3, key in $UNSET_KEY (not set)",
    ]
    file.write_text("[models.x]\nweight = 'a'")
    code, out, err = run("config", "check", str(file))
    assert (code, out) == (2, "")
    assert "models.x.weight" in err


def test_config_check_needs_no_server_of_the_shared_state(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STATE_URL", raising=False)
    file = tmp_path / "router.toml"
    file.write_text("[state]\nurl_env = 'STATE_URL'\nprefix = 'team'\n")
    code, out, _ = run("config", "check", str(file))
    assert code == 0
    assert "state: shared by routers with the prefix team, URL in $STATE_URL (not set)" in out
    file.write_text("[state]\nurl_env = 'redis://:word@host'\n")
    code, _, err = run("config", "check", str(file))
    assert code == 2
    assert "must be the name of an environment variable" in err
    assert "word@" not in err


def test_a_strategy_is_chosen_by_name_and_a_key_keeps_its_model(run: Run) -> None:
    output = {run("route", PROMPT, "--strategy", "consistent-hash", "--key", f"user-{i}")[1].split()[0] for i in range(8)}
    assert len(output) > 1
    first, second = (run("route", PROMPT, "--strategy", "consistent-hash", "--key", "user-1")[1] for _ in range(2))
    assert first == second
    code, out, err = run("route", PROMPT, "--strategy", "luck")
    assert (code, out) == (2, "")
    assert "round-robin" in err


def test_the_dial_has_four_names_and_one_of_them_at_a_time(run: Run, shipped: Router) -> None:
    output = run("route", PROMPT, "--usd-per-point", "0.01", "--json")[1]
    assert json.loads(output)["preference"]["usd_per_point"] == 0.01
    code, _, error = run("route", PROMPT, "--usd-per-point", "0.01", "--prefer", "cheap")
    assert (code, "set at most one of prefer" in error) == (2, True)
    code, _, error = run("route", PROMPT, "--max-loss", "0.02", "--confidence", "0.9")
    assert (code, "max_loss needs a model folder" in error) == (2, True)
