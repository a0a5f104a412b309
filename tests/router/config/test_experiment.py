from pathlib import Path

import pytest

from router import AbTest, Bandit, ConfigError, Shadow
from router.config.read import read_config
from router.experiment.kinds import Experiment


@pytest.mark.parametrize(
    ("table", "experiment"),
    [
        ('kind = "shadow"\nmodel = "gpt-5.5"\nusd = 2.0\nshare = 0.1', Shadow(model="gpt-5.5", usd=2.0, share=0.1)),
        ('kind = "bandit"\nquality_floor = 0.95', Bandit(quality_floor=0.95)),
        (
            'kind = "ab"\nname = "dial"\nshares = {cheap = 0.1}\n[experiment.arms.control]\n'
            '[experiment.arms.cheap]\nprefer = "cheap"',
            AbTest(name="dial", arms={"control": {}, "cheap": {"prefer": "cheap"}}, shares={"cheap": 0.1}),
        ),
    ],
)
def test_each_kind_is_read(tmp_path: Path, table: str, experiment: Experiment) -> None:
    (tmp_path / "router.toml").write_text(f"[experiment]\n{table}\n")
    assert read_config(tmp_path / "router.toml").experiment == experiment


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('kind = "abc"', r"experiment\.kind must be one of shadow, ab, bandit, got 'abc'"),
        ("model = 1", r"experiment\.kind must be one of .* got None"),
        ('kind = "shadow"\nmodel = "gpt-5.5"', r"experiment\.usd is missing"),
        ('kind = "shadow"\ntell = "x"', r"experiment\.tell is unknown; known: model, usd, share"),
        ('kind = "bandit"\nconfidence = 2', "experiment: confidence of a bandit must be a number from 0.5 to below 1"),
        ('kind = "bandit"\nmemory = "x"', "experiment: memory of a bandit must be a number above 0, got 'x'"),
        ('kind = "ab"\nname = "dial"\narms = {control = 1}', "experiment: arms must map names to options"),
    ],
)
def test_a_mistake_is_named_with_its_key(tmp_path: Path, table: str, message: str) -> None:
    (tmp_path / "router.toml").write_text(f"[experiment]\n{table}\n")
    with pytest.raises(ConfigError, match=message):
        read_config(tmp_path / "router.toml")
