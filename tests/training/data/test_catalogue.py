"""A file of models beside the prices of the installed package `genai-prices`."""

import csv
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

genai_prices = pytest.importorskip("genai_prices", reason="the extra `prices` is not installed")

from training.data.catalogue import Change, compare_prices, write_models  # noqa: E402 - after the skip
from training.data.price_list import PriceList  # noqa: E402
from training.data.table import DatasetError  # noqa: E402

# After this day, batch prices are known.
DAY = date(2026, 10, 20)
NOON = datetime(2026, 10, 20, 12, tzinfo=UTC)
HEADER = "model,price_id,input_usd_per_mtok,output_usd_per_mtok,note,as_of,source\n"
FILE = HEADER + (
    'gpt-5,openai/gpt-5,1.250,10.0,"a, b",2026-01,a list\n'
    "flash,google/gemini-2.5-flash,0.5,2.5,,2026-01,a list\n"
    "gpt-5.5@low,,5,30,,2026-01,a list\n"
    "own,,1,2,,2026-01,a list\n"
    "gone,openai/gpt-0,1,2,,2026-01,a list\n"
)


@pytest.fixture(scope="module")
def prices() -> PriceList:
    return PriceList(DAY)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "models.csv"
    path.write_text(FILE)
    return path


@pytest.mark.parametrize(
    ("name", "usage", "column", "context"),
    [
        ("openai/gpt-5.5", {"input_tokens": 1000}, "input_usd_per_mtok", None),
        ("openai/gpt-5.5", {"output_tokens": 1000}, "output_usd_per_mtok", None),
        ("anthropic/claude-opus-4-8", {"input_tokens": 1000, "cache_read_tokens": 1000}, "cached_input_usd_per_mtok", None),
        ("anthropic/claude-opus-4-8", {"input_tokens": 1000, "cache_write_tokens": 1000}, "cache_write_usd_per_mtok", None),
        ("google/gemini-2.5-flash", {"input_tokens": 1000, "input_audio_tokens": 1000}, "audio_input_usd_per_mtok", None),
        ("openai/gpt-audio", {"output_tokens": 1000, "output_audio_tokens": 1000}, "audio_output_usd_per_mtok", None),
        ("openai/gpt-realtime", {"input_tokens": 1000, "input_image_tokens": 1000}, "image_input_usd_per_mtok", None),
        ("openai/gpt-5", {"input_tokens": 1000}, "batch_input_usd_per_mtok", {"processing": "batch"}),
        ("openai/gpt-5", {"output_tokens": 1000}, "batch_output_usd_per_mtok", {"processing": "batch"}),
        ("deepseek/deepseek-v4-pro", {"input_tokens": 1000}, "input_usd_per_mtok", None),
    ],
)
def test_a_thousand_tokens_cost_what_the_package_calculates(
    prices: PriceList, name: str, usage: dict[str, int], column: str, context: dict[str, str] | None
) -> None:
    listed = prices.find(name)
    assert listed is not None
    provider, _, model = name.partition("/")
    calculated = genai_prices.calc_price(
        genai_prices.Usage(**usage),
        model,
        provider_id=provider,
        genai_request_timestamp=NOON,
        price_context=context,
    )
    assert listed.usd_per_mtok[column] / 1000 == calculated.total_price


def test_names_are_exact(prices: PriceList) -> None:
    assert prices.find("openai/gpt-5.5") is not None
    for name in ("gpt-5.5", "openai/gpt-5.5-2026-04-23", "openai/GPT-5.5", "OpenAI/gpt-5.5", "openai/gpt-5.5 "):
        assert prices.find(name) is None, name


def test_the_date_is_that_of_the_newest_price_so_far(prices: PriceList) -> None:
    assert date(2026, 10, 14) <= prices.as_of <= DAY
    assert PriceList(date(2026, 1, 1)).as_of <= date(2026, 1, 1)
    assert PriceList(date(2999, 1, 1)).as_of >= prices.as_of


def test_a_price_by_length_or_by_time_of_day_is_told(prices: PriceList) -> None:
    listed = {name: prices.find(name) for name in ("openai/gpt-5.5", "openai/gpt-5", "deepseek/deepseek-v4-pro")}
    assert {name: (each.dearer_above, each.varies_by_time) for name, each in listed.items() if each} == {
        "openai/gpt-5.5": (272_000, False),
        "openai/gpt-5": (None, False),
        "deepseek/deepseek-v4-pro": (None, True),
    }


def test_a_price_that_differs_is_a_change_and_an_unknown_model_is_kept(prices: PriceList, file: Path) -> None:
    found = compare_prices(file, prices)
    assert found.found == ["gpt-5", "flash"]
    # 1.250 is 1.25, so it is no change.
    assert [change for change in found.changes if change.old] == [
        Change(model="flash", column="input_usd_per_mtok", old="0.5", new="0.3")
    ]
    assert Change(model="flash", column="audio_input_usd_per_mtok", old="", new="1") in found.changes
    assert found.kept["own"] == "no price_id"
    assert found.kept["gpt-5.5@low"].startswith("no price_id; perhaps ")
    assert "openai/gpt-5.5" in found.kept["gpt-5.5@low"]
    assert found.kept["gone"] == "genai-prices has no openai/gpt-0"


def test_writing_changes_only_what_the_list_knows_and_comparing_again_finds_nothing(prices: PriceList, file: Path) -> None:
    write_models(file, compare_prices(file, prices))
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["model"] for row in rows] == ["gpt-5", "flash", "gpt-5.5@low", "own", "gone"]
    gpt, flash, *others = rows
    assert (gpt["input_usd_per_mtok"], gpt["note"]) == ("1.250", "a, b")
    assert Decimal(flash["input_usd_per_mtok"]) == Decimal("0.3")
    assert (flash["as_of"], flash["source"]) == (
        prices.as_of.isoformat(), f"genai-prices {prices.version}, google/gemini-2.5-flash",
    )  # fmt: skip
    assert [(row["input_usd_per_mtok"], row["as_of"], row["source"]) for row in others] == [
        ("5", "2026-01", "a list"), ("1", "2026-01", "a list"), ("1", "2026-01", "a list"),
    ]  # fmt: skip
    again = compare_prices(file, prices)
    assert again.changes == []
    written = file.read_bytes()
    write_models(file, again)
    assert file.read_bytes() == written
    assert [path.name for path in file.parent.iterdir()] == ["models.csv"]


def test_a_file_that_cannot_be_replaced_leaves_no_other_behind(prices: PriceList, file: Path) -> None:
    comparison = compare_prices(file, prices)
    file.unlink()
    file.mkdir()
    with pytest.raises(DatasetError, match=r"models\.csv cannot be written: .*; check the permissions"):
        write_models(file, comparison)
    assert [path.name for path in file.parent.iterdir()] == ["models.csv"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (FILE.replace("0.5,2.5", "cheap,2.5"), "row 3: input_usd_per_mtok must be a number, got 'cheap'; correct it"),
        (FILE.replace("price_id", "id"), r"the columns \['price_id'\] are missing"),
    ],
)
def test_a_mistake_in_the_file_names_its_place(prices: PriceList, file: Path, text: str, message: str) -> None:
    file.write_text(text)
    with pytest.raises(DatasetError, match=message):
        compare_prices(file, prices)


def test_the_command_shows_the_difference_and_writes_only_if_told(run_command, file: Path) -> None:
    code, output, _ = run_command("prices", file)
    assert code == 0
    assert output.startswith(f"genai-prices {genai_prices.__version__}: its newest price is of 20")
    assert [line.split() for line in output.splitlines() if line.startswith("flash  input")] == [
        ["flash", "input_usd_per_mtok", "0.5", "0.3"]
    ]
    assert "2 of 5 models compared: 1 prices differ" in output
    assert output.endswith(f"{file} is unchanged; --write changes it\n")
    assert file.read_text() == FILE
    code, output, _ = run_command("prices", file, "--write")
    assert (code, "prices written, as of 20" in output) == (0, True)
    assert "1 prices differ" not in run_command("prices", file)[1]


def test_without_the_package_the_command_says_what_to_install(
    run_command, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices.data", None)
    code, _, errors = run_command("prices", file)
    assert code == 2
    assert "pip install 'contextual-llm-router[prices]'" in errors


def test_every_price_id_of_the_shipped_file_is_in_the_package(root: Path, prices: PriceList) -> None:
    found = compare_prices(root / "data" / "published" / "models.csv", prices)
    assert [reason for reason in found.kept.values() if not reason.startswith("no price_id")] == []
    assert len(found.found) >= 60
