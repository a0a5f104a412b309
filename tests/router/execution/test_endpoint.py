"""Addresses of servers: which ones are refused, and where keys go."""

from typing import Any

import pytest

from router.errors import CallError, InputError
from router.execution.endpoint import Endpoint
from router.execution.openai import OpenAIExecutor
from tests.router.execution.faulty_server import FaultyServer
from tests.router.execution.openai_lab import KEY, Caller, Lab, in_every_way

GOOD_URL = "http://127.0.0.1:8000/v1"


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("127.0.0.1:8000/v1", "begin with http:// or https://"),
        ("localhost:8000", "begin with http:// or https://"),
        ("", "begin with http:// or https://"),
        ("https://", "begin with http:// or https://"),
        ("ftp://host/v1", "begin with http:// or https://"),
        ("https:///v1", "begin with http:// or https://"),
        ("https://host/v1 ", "begin with http:// or https://"),
        ("https://host:port/v1", "correct its host or port"),
        ("https://host:99999/v1", "correct its host or port"),
        ("https://[host/v1", "correct its host or port"),
        ("https://host/v1/chat/completions", "write '/v1'"),
        ("https://host/v1/chat/completions/", "write '/v1'"),
        ("https://host/v1/responses", "write '/v1'"),
        ("https://host/v1/models", "write '/v1'"),
        ("https://host/v1/embeddings?api-version=1", "write '/v1'"),
        ("https://host/v1#part", "must have no fragment"),
        (None, "base_url must be a string, got NoneType"),
    ],
)
def test_an_address_without_scheme_or_host_or_with_the_path_of_a_request_is_refused(url: Any, rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        Endpoint(base_url=url)


@pytest.mark.parametrize(
    "url",
    ["https://me:s3cret@host/v1", "https://s3cret@host/v1", "https://host/v1?api_key=s3cret", "https://host/v1?key=s3cret",
     "https://host/v1?api-key=s3cret", "https://host/v1?token=s3cret", "sk-s3cret", "sk-proj-s3cretAbc0123456789"],
)  # fmt: skip
def test_a_secret_in_an_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InputError) as refused:
        Endpoint(base_url=url)
    assert "s3cret" not in str(refused.value)


KEYS = [
    "sk-abcdefghijklmnop1234",
    "sk-proj-Ab3dEf6hIj9-kLmNoPqRsTuVwXyZ_0123456789",
    "sk-ant-api03-AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-AA",
    "sk-or-v1-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "sk_live_0123456789abcdefghij",
    "sk_0123456789abcdef0123456789abcdef0123456789abcdef",
    "gsk_AbCdEfGhIjKlMnOpQrStUvWx0123456789",
    "AIzaSyA0123456789_abcdefghijklmnopqrstuv",
    "AKIAIOSFODNN7EXAMPLE",
    "hf_AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEfGh",
    "xai-AbCdEfGhIjKlMnOp0123456789",
    "nvapi-AbCdEfGhIjKlMnOp0123456789",
    "r8_AbCdEfGhIjKlMnOp0123456789",
    "fw_3ZAbCdEfGhIjKlMnOp",
    "pplx-0123456789abcdef0123456789abcdef",
    "tgp_v1_AbCdEfGhIjKlMnOp0123456789",
    "0123456789abcdef0123456789abcdef",
    "a0123456789abcdef0123456789abcdef",
    "f47ac10b58cc4372a5670e02b2c3d479",
    "a" * 65,
    "Bearer sk-abc",
    "$OPENAI_API_KEY",
    "OPENAI_API_KEY=abc",
    "OPENAI-API-KEY",
    "",
    " OPENAI_API_KEY",
    "1KEY",
]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_in_the_place_of_its_variables_name_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(InputError, match="key_env must be the name of an environment variable") as refused:
        Endpoint(base_url=GOOD_URL, key_env=key)
    assert not key.strip() or key.strip() not in str(refused.value).replace("'OPENAI_API_KEY'", "")


@pytest.mark.parametrize(
    "name",
    [
        "OPENAI_API_KEY",
        "MY_KEY2",
        "key",
        "_KEY",
        "my_company_key",
        "KEY",
        "AZURE_OPENAI_API_KEY_EAST_2",
        "skill_key",
        "HF_TOKEN",
        "XAI_API_KEY",
        "OpenRouterKey",
    ],
)
def test_the_name_of_a_variable_is_accepted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, " s3cret ")
    endpoint = Endpoint(base_url=GOOD_URL, key_env=name)
    assert endpoint.key_headers() == {"Authorization": "Bearer s3cret"}
    assert repr(endpoint) == f"Endpoint('{GOOD_URL}', key_env='{name}')"


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("headers", {"X Tag": "t"}, "headers must have the names"),
        ("headers", {"X-Tag": "t\r\nX-Other: o"}, "headers must have the names"),
        ("headers", {"X-Tag": "schlüssel"}, "headers must have the names"),
        ("headers", {"X-Tag": 5}, "headers must map names to texts"),
        ("headers", {"Authorization": "Bearer s3cret"}, "headers must not contain a key"),
        ("headers", {"api-key": "s3cret"}, "headers must not contain a key"),
        ("headers", {"x-api-key": "s3cret"}, "headers must not contain a key"),
        ("key_header", "api key", "headers must have the names"),
        ("key_header", "", "headers must have the names"),
        ("model", {"a": ""}, "model must map names to texts"),
        ("rename", ["max_tokens"], "rename must map names to texts"),
        ("drop", "stream_options", "drop must be a collection of parameters"),
        ("headers", {"Cookie": "s3cret"}, "headers must not contain a key"),
        ("headers", {"X-Auth-Token": "s3cret"}, "headers must not contain a key"),
        ("key_header", 5, "key_header must be the name of a header, got int"),
        ("drop", 5, "drop must be a collection of parameters"),
        ("drop", [5], "drop must be a collection of parameters"),
    ],
)
def test_a_wrong_field_is_refused_and_no_secret_is_repeated(field: str, value: Any, rule: str) -> None:
    with pytest.raises(InputError, match=rule) as refused:
        Endpoint(base_url=GOOD_URL, **{field: value})
    assert "s3cret" not in str(refused.value)


def test_neither_headers_nor_a_query_are_in_a_repr() -> None:
    endpoint = Endpoint(base_url=f"{GOOD_URL}?tenant=s3cret", headers={"X-Tenant": "s3cret"})
    assert repr(endpoint) == f"Endpoint('{GOOD_URL}', key_env=None)"


def test_a_variable_without_a_key_counts_as_a_refused_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_KEY2", raising=False)
    with pytest.raises(CallError, match="the environment variable MY_KEY2 holds no key") as refused:
        Endpoint(base_url=GOOD_URL, key_env="MY_KEY2").key_headers()
    assert refused.value.kind == "auth"


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://api.openai.com/v1", {"Authorization": "Bearer s3cret"}),
        ("https://api.openai.com:443/v1", {"Authorization": "Bearer s3cret"}),
        ("http://api.openai.com/v1", {}),
        ("https://api.openai.com.example.org/v1", {}),
        ("https://example.org/api.openai.com/v1", {}),
        ("https://proxy.example.org/v1?to=api.openai.com", {}),
        (GOOD_URL, {}),
    ],
)
def test_openais_key_goes_to_openai_alone(url: str, sent: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "s3cret")
    assert Endpoint(base_url=url).key_headers() == sent


@in_every_way
def test_without_a_variable_no_key_is_sent(lab: Lab, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY"):
        monkeypatch.setenv(name, KEY)
    executor = OpenAIExecutor({"ok": Endpoint(base_url=lab.server.url("ok"))})
    assert Caller(lab, way, "ok", executor=executor).ask().completion is not None
    ((_, _, headers),) = lab.server.asked
    assert "authorization" not in headers
    assert KEY not in str(headers)


@in_every_way
def test_a_key_goes_into_the_header_that_the_server_reads_and_more_headers_come_along(lab: Lab, way: str) -> None:
    executor = OpenAIExecutor({"ok": lab.endpoint("ok", key_header="api-key", headers={"X-Tenant": "t1"})})
    assert Caller(lab, way, "ok", executor=executor).ask().completion is not None
    ((_, _, headers),) = lab.server.asked
    assert (headers["api-key"], headers["x-tenant"]) == (KEY, "t1")
    assert "authorization" not in headers


@in_every_way
def test_a_query_stays_behind_the_path(lab: Lab, way: str) -> None:
    url = lab.server.url("ok") + "?api-version=2024-10-21&flag="
    executor = OpenAIExecutor({"ok": Endpoint(base_url=url, key_env="TEST_KEY")})
    assert Caller(lab, way, "ok", executor=executor).ask().completion is not None
    assert lab.server.paths == ["/ok/v1/chat/completions?api-version=2024-10-21&flag="]


@in_every_way
def test_a_redirect_is_not_followed_and_carries_no_key(lab: Lab, way: str) -> None:
    with FaultyServer() as other:
        lab.server.redirect_to = other.url("ok") + "/chat/completions"
        caller = Caller(lab, way, "redirect", "ok")
        result = caller.ask()
        assert result.attempts == [("redirect", "auth"), ("ok", None)]
        assert other.asked == []
