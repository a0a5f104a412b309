from pathlib import Path

import pytest

from router import Agreement, Cascade, Judge, Rates, Router, TokenProbability
from router.config.make import Unconnected, choose_profiles, connect_openai, make_router
from router.config.read import read_config
from router.errors import ConfigError
from router.execution.endpoint import Endpoint
from router.execution.limits import RateLimit, SpendCap
from router.model_folder.load import load_model_folder

WHOLE = """
strategy = "contextual>dynamic"
quality_floor = 0.9
learn = true
cache_size = 16
tier = "full"

[endpoints.maker]
base_url = "http://127.0.0.1:9/v1"
key_env = "MAKER_KEY"

[endpoints.reseller]
base_url = "http://127.0.0.1:8/v1"
stream_usage = false

[models."gpt-5.5"]
weight = 6.0
requests_per_minute = 60
tokens_per_minute = 100000
fallbacks = ["gpt-4.1-mini"]

[[models."gpt-5.5".served_by]]
endpoint = "maker"

[[models."gpt-5.5".served_by]]
endpoint = "reseller"
model = "openai/gpt-5.5"
weight = 2.0

[models."gpt-4.1-mini"]
served_by = [{endpoint = "maker", model = "gpt-4.1-mini-2025"}]

[calls]
deadline_s = 30

[health]
cooldown_s = 10

[spend]
usd = 20
on_spent = "downgrade"
"""


def write(folder: Path, text: str, name: str = "router.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_whole_configuration_becomes_a_router(tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_ROUTER_MODEL", str(model_folder))
    path = write(tmp_path, WHOLE)
    config, router = read_config(path), Router.from_config(path)
    assert sorted(profile.name for profile in router.profiles) == ["gpt-4.1-mini", "gpt-5.5"]
    assert {profile.name: profile.weight for profile in router.profiles}["gpt-5.5"] == 6.0
    serving = router.fleet.serving
    assert serving.endpoints == {
        "gpt-5.5": {"maker/gpt-5.5": 2.0, "reseller/gpt-5.5=openai/gpt-5.5": 4.0},
        "gpt-4.1-mini": {"maker/gpt-4.1-mini=gpt-4.1-mini-2025": 1.0},
    }
    assert config.endpoints["reseller/gpt-5.5=openai/gpt-5.5"] == Endpoint(
        base_url="http://127.0.0.1:8/v1", key_env=None, model="openai/gpt-5.5", stream_usage=False
    )
    assert serving.limits == {"gpt-5.5": RateLimit(requests_per_minute=60, tokens_per_minute=100000)}
    assert serving.spend == SpendCap(usd=20, on_spent="downgrade")
    assert (serving.calls.deadline_s, serving.health.cooldown_s) == (30, 10)
    assert serving.fallbacks == {"gpt-5.5": ["gpt-4.1-mini"]}
    assert router.learner is not None
    decision = router.route("write a haiku")
    assert (decision.strategy, decision.preference.quality_floor) == ("contextual>dynamic", 0.9)
    assert (config.cache_size, decision.prediction.tier) == (16, "full")


def test_yaml_says_the_same(tmp_path: Path) -> None:
    text = "prefer: cheap\nendpoints: {one: {base_url: 'http://127.0.0.1:9'}}\nmodels: {gpt-5.5: {}, glm-5.2: {weight: 2}}\n"
    config = read_config(write(tmp_path, text, "router.yaml"))
    assert config.defaults.prefer == "cheap"
    assert set(config.endpoints) == {"one/gpt-5.5", "one/glm-5.2"}  # the only endpoint serves all
    assert config.serving.endpoints["glm-5.2"] == {"one/glm-5.2": 2.0}


def test_an_empty_configuration_is_the_default_router(tmp_path: Path) -> None:
    config = read_config(write(tmp_path, ""))
    assert (config.model_folder, config.models, config.endpoints) == (None, {}, {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prefer = 'cheap'\nquality_floor = = 1\n", "line 2"),
        ("prefer = 'best'", "prefer must be one of"),
        ("prefer = 'cheap'\nquality_floor = 0.9", "set at most one of prefer, quality_floor"),
        ("max_loss = 2.0", "max_loss must be a number between 0 and 1, got 2"),
        ("usd_per_point = 0.0", "usd_per_point must be a number above 0"),
        ("strategy = 'best'", "strategy must be"),
        ("quality_floor = 'high'", "quality_floor"),
        ("colour = 'red'", "unknown field `colour`; the keys are .*quality_floor"),
        ("quality_flor = 0.9", "unknown field `quality_flor`; the nearest key is 'quality_floor'"),
        ("[calls]\ndeadline = 3", "calls.deadline is unknown; known: deadline_s, connect_s"),
        ("[calls]\ndeadline_s = 'long'", "calls.deadline_s"),
        ("[calls]\ndeadline_s = -1", "deadline_s must be a finite number, positive, got -1"),
        ("[spend]\nusd = 0", "usd of a spend cap must be positive"),
        ("[models.a]\nwait = 1", "models.a: .*unknown field `wait`"),
        ("[models.a]\nweight = 'big'", "models.a.weight"),
        ("[models.a]\nweight = 0.0", "models.a.weight"),
        ("[models.a]\nrequests_per_minute = 0", "models.a: requests_per_minute must be a whole number, at least 1"),
        ("[models.a]\nserved_by = [{endpoint = 'x'}]", r"models.a.served_by must name one of \[\], got 'x'"),
        ("max_cost_usd = -1.0", "max_cost_usd must be a number of 0 or more, got -1"),
        ("[models.gpt-5.5]\nweight = 2.0", r'a name with a dot needs quotes; write \[models."gpt-5.5"\]'),
        ("[endpoints.a.b]\nbase_url = 'http://u'", r'a name with a dot needs quotes; write \[endpoints."a.b"\]'),
        ("[endpoints.x]\nbase_url = 'u'", "endpoints.x: base_url must be a URL such as 'https://host/v1', got 'u'"),
        ("[endpoints.x]\nbase_url = 'http://u/v1/chat/completions'", "base_url must end before /chat/completions"),
        ("[endpoints.x]\nbase_url = 'http://u'", r"endpoints.x serves no model; add a table \[models"),
        (
            "[endpoints.x]\nbase_url = 'http://u'\n[endpoints.y]\nbase_url = 'http://v'\n"
            "[models.a]\nserved_by = [{endpoint = 'x'}]",
            "endpoints.y serves no model",
        ),
        ("[endpoints.x]\nkey_env = 'K'", "endpoints.x: .*missing required field `base_url`"),
        (
            "[endpoints.x]\nbase_url = 'http://u'\n[endpoints.y]\nbase_url = 'http://v'\n[models.a]",
            r"models.a.served_by must name one or more of \['x', 'y'\]",
        ),
        (
            "[endpoints.x]\nbase_url = 'http://u'\n[models.a]\nserved_by = [{endpoint = 'x'}, {endpoint = 'x'}]",
            "models.a.served_by names an endpoint and model twice",
        ),
    ],
)
def test_a_broken_rule_is_reported_with_its_line_or_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        read_config(write(tmp_path, text))
    assert str(refused.value).startswith(str(tmp_path / "router.toml"))


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    assert read_config(write(tmp_path, "\ufeffprefer = 'cheap'")).defaults.prefer == "cheap"


def test_a_key_in_the_file_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name of an environment variable") as refused:
        read_config(write(tmp_path, "[endpoints.x]\nbase_url = 'http://u'\nkey_env = 'sk-secret-123'"))
    assert "secret" not in str(refused.value)


def test_a_model_that_the_folder_lacks_is_reported(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_ROUTER_MODEL", str(model_folder))
    with pytest.raises(ConfigError, match=r"models.gpt-1: unknown models \['gpt-1'\]; the model folder has: "):
        Router.from_config(write(tmp_path, "[models.gpt-1]"))


@pytest.mark.parametrize(("name", "message"), [("router.ini", "must end in"), ("missing.toml", "cannot be read")])
def test_a_file_that_cannot_be_read_is_reported(tmp_path: Path, name: str, message: str) -> None:
    path = tmp_path / name if name == "missing.toml" else write(tmp_path, "", name)
    with pytest.raises(ConfigError, match=message):
        read_config(path)
    large = write(tmp_path, "#" * (1 << 20) + "\n", "large.toml")
    with pytest.raises(ConfigError, match="at most 1048576 bytes"):
        read_config(large)


def test_an_endpoint_in_the_file_has_all_peculiarities_of_one_in_python(tmp_path: Path) -> None:
    text = """
[endpoints.x]
base_url = "https://u/deployments/d?api-version=2024-10-21"
key_env = "KEY"
key_header = "api-key"
headers = {X-Team = "red"}
rename = {max_tokens = "max_completion_tokens"}
drop = ["stop"]
[models."gpt-5.5"]
"""
    assert read_config(write(tmp_path, text)).endpoints["x/gpt-5.5"] == Endpoint(
        base_url="https://u/deployments/d?api-version=2024-10-21",
        key_env="KEY",
        key_header="api-key",
        headers={"X-Team": "red"},
        rename={"max_tokens": "max_completion_tokens"},
        drop=("stop",),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("allowed = ['gpt-1']", r"allowed names unknown models \['gpt-1'\]"),
        ("focus = 'cooking'", "focus must be one of"),
        ("[endpoints.x]\nbase_url = 'http://u'\n[models.'gpt-5.5']\nfallbacks = ['gpt-4.1-mini']", "gpt-4.1-mini"),
    ],
)
def test_a_file_is_refused_by_the_check_and_by_loading_in_the_same_words(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.setenv("LLM_ROUTER_MODEL", str(model_folder))
    path = write(tmp_path, text)
    words = []
    for connect in (connect_openai, Unconnected):
        with pytest.raises(ConfigError, match=message) as refused:
            make_router(Router, read_config(path), connect=connect)
        words.append(str(refused.value))
    assert words[0] == words[1]


VARIANTS = """
[endpoints.x]
base_url = "http://127.0.0.1:9/v1"
[models."gpt-5.5"]
[models."gpt-5.5@low"]
model = "gpt-5.5"
request = {reasoning_effort = "low"}
"""


def test_a_variant_of_a_model_is_a_candidate_with_its_figures(tmp_path: Path, model_folder: Path) -> None:
    config = read_config(write(tmp_path, VARIANTS))
    profiles = load_model_folder(model_folder).profiles
    base, variant = choose_profiles(config, profiles)
    assert (variant.name, variant.base, variant.request) == ("gpt-5.5@low", "gpt-5.5", {"reasoning_effort": "low"})
    assert variant.quality == base.quality
    # The server knows the model by the name without the options.
    assert config.endpoints["x/gpt-5.5@low"].name_of(variant.base) == "gpt-5.5"


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ('model = "gpt-5.5"', "model and request make a variant together"),
        ('request = {reasoning_effort = "low"}', "model and request make a variant together"),
        ('model = "gpt-9"\nrequest = {a = 1}', "unknown model 'gpt-9'"),
        ('model = "gpt-5.5@low"\nrequest = {a = 1}', "unknown model 'gpt-5.5@low'"),
    ],
)
def test_an_incomplete_variant_is_refused(tmp_path: Path, model_folder: Path, line: str, rule: str) -> None:
    text = f'[endpoints.x]\nbase_url = "http://127.0.0.1:9/v1"\n[models."gpt-5.5"]\n[models."new@low"]\n{line}\n'
    profiles = [profile for profile in load_model_folder(model_folder).profiles if "@" not in profile.name]
    with pytest.raises(ConfigError, match=rule):
        choose_profiles(read_config(write(tmp_path, text)), profiles)


CASCADE = """strategy = "cascade"
[cascade]
"""


def test_cascades(tmp_path: Path) -> None:
    judge = (
        CASCADE + 'verifier = "judge"\nmodel = "a"\nthreshold = 8\ntrue_accept = 0.9\nfalse_accept = 0.2\nmax_models = 3\n'
    )
    made = read_config(write(tmp_path, judge)).serving.cascade
    rates = Rates(true_accept=0.9, false_accept=0.2)
    assert made == Cascade(verifier=Judge(model="a", threshold=8), rates=rates, max_models=3)
    agreement = CASCADE + 'verifier = "agreement"\nmodel = "a"\naccuracy = 0.8\noverlap = 0.4\n'
    made = read_config(write(tmp_path, agreement)).serving.cascade
    assert made == Cascade(verifier=Agreement(model="a"), rates=Rates.of_accuracy(0.8), overlap=0.4)
    logprobs = CASCADE + 'verifier = "logprobs"\nthreshold = -0.5\nover = "min"\naccuracy = 0.8\n'
    made = read_config(write(tmp_path, logprobs)).serving.cascade
    assert made == Cascade(verifier=TokenProbability(threshold=-0.5, over="min"), rates=Rates.of_accuracy(0.8))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[cascade]\nverifier = "judge"\nmodel = "a"\naccuracy = 1.0',
            "cascade needs strategy = \"cascade\", got 'contextual'",
        ),
        (CASCADE + 'verifier = "judge"\naccuracy = 1.0', "cascade: judge needs a model; add model"),
        (CASCADE + 'verifier = "logprobs"\naccuracy = 1.0', "cascade: logprobs need a threshold"),
        (CASCADE + 'verifier = "judge"\nmodel = "a"', "cascade: set accuracy, or true_accept and false_accept"),
        (CASCADE + 'verifier = "judge"\nmodel = "a"\naccuracy = 2.0', "accuracy must be a number between 0 and 1, got 2.0"),
        (CASCADE + 'verifier = "oracle"\naccuracy = 1.0', "cascade.verifier"),
    ],
)
def test_mistakes_in_a_cascade(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_config(write(tmp_path, text))
