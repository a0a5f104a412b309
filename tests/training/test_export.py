import json
from pathlib import Path

import pytest

from router.types import Estimate, ModelProfile
from training.data.table import DatasetError
from training.export import export_profiles, write_profiles

FULL = ModelProfile(
    name="größer",
    provider="P",
    quality={"qa": Estimate(mean=0.9, stderr=0.02, n=40), "math": Estimate(mean=0.5, stderr=0.1, n=0)},
    input_usd_per_mtok=1.5,
    output_usd_per_mtok=6.0,
    output_tokens={"qa": 120.5},
    cost_usd=0.002,
    latency_s=3.5,
    context_window=128_000,
    capabilities=frozenset({"vision", "tools"}),
    source="https://example.com",
)


def test_an_export_is_plain_json() -> None:
    assert json.loads(export_profiles([FULL, ModelProfile(name="bare")], source={"created": "2026-01-02"})) == {
        "format": "llm-router-profiles",
        "version": 1,
        "source": {"created": "2026-01-02"},
        "tasks": ["qa", "math"],
        "models": [
            {
                "name": "größer",
                "variant_of": "",
                "request": {},
                "provider": "P",
                "input_usd_per_mtok": 1.5,
                "output_usd_per_mtok": 6.0,
                "cached_input_usd_per_mtok": None,
                "cache_write_usd_per_mtok": None,
                "audio_input_usd_per_mtok": None,
                "audio_output_usd_per_mtok": None,
                "image_input_usd_per_mtok": None,
                "batch_input_usd_per_mtok": None,
                "batch_output_usd_per_mtok": None,
                "prices_as_of": "",
                "cache_lifetime_s": 300.0,
                "cost_usd": 0.002,
                "latency_s": 3.5,
                "context_window": 128_000,
                "capabilities": ["tools", "vision"],
                "output_tokens": {"qa": 120.5},
                "quality": {
                    "qa": {"mean": 0.9, "stderr": 0.02, "n": 40},
                    "math": {"mean": 0.5, "stderr": 0.1, "n": 0},
                },
                "mean_quality": 0.7,
                "source": "https://example.com",
            },
            {
                "name": "bare",
                "variant_of": "",
                "request": {},
                "provider": "",
                "input_usd_per_mtok": None,
                "output_usd_per_mtok": None,
                "cached_input_usd_per_mtok": None,
                "cache_write_usd_per_mtok": None,
                "audio_input_usd_per_mtok": None,
                "audio_output_usd_per_mtok": None,
                "image_input_usd_per_mtok": None,
                "batch_input_usd_per_mtok": None,
                "batch_output_usd_per_mtok": None,
                "prices_as_of": "",
                "cache_lifetime_s": 300.0,
                "cost_usd": None,
                "latency_s": None,
                "context_window": None,
                "capabilities": [],
                "output_tokens": {},
                "quality": {},
                "mean_quality": None,
                "source": "",
            },
        ],
    }


def test_a_file_is_utf_8_and_replaces_an_older_one(tmp_path: Path) -> None:
    out = tmp_path / "profiles.json"
    out.write_text("older")
    write_profiles(out, [FULL], source={})
    assert out.read_bytes().decode() == export_profiles([FULL], source={})
    assert "größer" in out.read_bytes().decode()


def test_the_error_names_a_path_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"missing/p\.json cannot be written: No such file .*; name a file in a folder"):
        write_profiles(tmp_path / "missing" / "p.json", [FULL], source={})
