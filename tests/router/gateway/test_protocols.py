"""Every protocol through the gateway, with the clients that its makers ship."""

from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2 as httpx
import openai
import pytest

from tests.router.gateway.conftest import PROVIDER_KEY, RunningGateway, Start
from tests.router.gateway.scripted_upstream import USAGE, WORDS, ScriptedUpstream

TEXT = "".join(WORDS)
POEM: Any = [{"role": "user", "content": "write a poem about tea"}]
TOOL: Any = {"type": "function", "function": {"name": "brew", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture(scope="module")
def chat(shared: RunningGateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{shared.url}/v1", api_key="client-s3cret", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def claude(shared: RunningGateway) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=shared.url, api_key="client-s3cret", max_retries=0) as client:
        yield client


def test_a_chat_completion_goes_through(chat: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    answer = chat.chat.completions.with_raw_response.create(
        model="gpt-5.5", messages=POEM, seed=12345678901234567890, extra_body={"a_field_of_tomorrow": {"x": [1, None]}}
    )
    completion = answer.parse()
    assert completion.choices[0].message.content == TEXT
    assert completion.model == "gpt-5.5"
    assert completion.system_fingerprint == "fp"
    assert answer.headers["x-router-model"] == "gpt-5.5"
    assert answer.headers["x-router-task"] == "writing"
    path, body, headers = upstream.seen[0]
    assert (path, body["model"], body["seed"]) == ("/v1/chat/completions", "ok", 12345678901234567890)
    assert body["a_field_of_tomorrow"] == {"x": [1, None]}
    # The keys of the two sides never meet.
    assert headers["Authorization"] == f"Bearer {PROVIDER_KEY}"
    assert "client-s3cret" not in str(upstream.seen)


@pytest.mark.parametrize("asks_for_usage", [False, True])
def test_a_stream_goes_through_event_by_event(chat: openai.OpenAI, upstream: ScriptedUpstream, asks_for_usage: bool) -> None:
    options: dict[str, object] = {"stream_options": {"include_usage": True}} if asks_for_usage else {}
    chunks = list(chat.chat.completions.create(model="gpt-5.5", messages=POEM, stream=True, **options))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == TEXT
    assert {chunk.model for chunk in chunks} == {"gpt-5.5"}
    # The gateway asks for the usage itself. A client that did not must not get an event without choices.
    assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == ([sum(USAGE)] if asks_for_usage else [])
    assert upstream.seen[0][1]["stream_options"] == {"include_usage": True}


def test_a_tool_call_goes_through(chat: openai.OpenAI) -> None:
    completion = chat.chat.completions.create(model="gpt-5.5", messages=POEM, tools=[TOOL])
    assert completion.choices[0].finish_reason == "tool_calls"
    assert completion.choices[0].message.tool_calls
    assert completion.choices[0].message.tool_calls[0].function.arguments == '{"model": "oolong"}'


def test_a_response_goes_through(chat: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    response = chat.responses.create(model="gpt-5.5", instructions="be brief", input="write a poem about tea")
    assert (response.output_text, response.model, response.usage and response.usage.output_tokens) == (
        TEXT,
        "gpt-5.5",
        USAGE[1],
    )
    assert upstream.seen[0][0] == "/v1/responses"
    with chat.responses.stream(model="gpt-5.5", input=POEM) as stream:
        assert "".join(event.delta for event in stream if event.type == "response.output_text.delta") == TEXT
        assert stream.get_final_response().model == "gpt-5.5"


def test_messages_go_through(claude: anthropic.Anthropic, upstream: ScriptedUpstream) -> None:
    message = claude.messages.create(model="gpt-5.5", max_tokens=100, system="be brief", messages=POEM)
    assert (message.content[0].text, message.model, message.usage.output_tokens) == (TEXT, "gpt-5.5", USAGE[1])
    path, body, headers = upstream.seen[0]
    assert (path, body["system"], "anthropic-version" in headers) == ("/v1/messages", "be brief", True)
    with claude.messages.stream(model="gpt-5.5", max_tokens=100, messages=POEM) as stream:
        assert "".join(stream.text_stream) == TEXT
        assert stream.get_final_message().model == "gpt-5.5"
    assert claude.messages.count_tokens(model="gpt-5.5", messages=POEM).input_tokens == USAGE[0]


def test_a_refusal_goes_through_in_the_servers_own_words(chat: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        chat.chat.completions.create(model="claude-haiku-4-5", messages=POEM, temperature=9)
    assert (refused.value.param, refused.value.request_id) == ("temperature", "up-7")
    with pytest.raises(anthropic.BadRequestError, match="temperature must be at most 2"):
        claude.messages.create(model="claude-haiku-4-5", max_tokens=10, messages=POEM)


def test_a_failing_model_is_replaced(chat: openai.OpenAI, upstream: ScriptedUpstream) -> None:
    body = {"router": {"allowed": ["gpt-4.1-mini", "gpt-5.5"], "prefer": "cheap"}}
    answer = chat.chat.completions.with_raw_response.create(model="auto", messages=POEM, extra_body=body)
    assert [body["model"] for _, body, _ in upstream.seen] == ["down", "ok"]
    assert answer.headers["x-router-model"] == "gpt-5.5"
    assert answer.parse().model == "gpt-5.5"
    assert "router" not in upstream.seen[0][1]


def test_errors_have_the_form_of_the_protocol(chat: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    with pytest.raises(openai.NotFoundError, match="GET /v1/models"):
        chat.chat.completions.create(model="gpt-0", messages=POEM)
    with pytest.raises(anthropic.NotFoundError, match="GET /v1/models"):
        claude.messages.create(model="gpt-0", max_tokens=10, messages=POEM)
    with pytest.raises(openai.BadRequestError, match="quality_floor must be a number between 0 and 1"):
        chat.chat.completions.create(model="auto", messages=POEM, extra_headers={"x-router-quality-floor": "7"})
    with pytest.raises(openai.InternalServerError, match="every attempt failed") as failed:
        chat.chat.completions.create(model="glm-4.6", messages=POEM)
    # The provider repeats the key. Neither its words nor its status reach a client, who cannot mend it.
    assert (failed.value.status_code, PROVIDER_KEY in str(failed.value.body)) == (502, False)


def test_a_stream_that_breaks_ends_with_an_error(chat: openai.OpenAI) -> None:
    chunks = iter(chat.chat.completions.create(model="deepseek-v3.2", messages=POEM, stream=True))
    words = [next(chunks).choices[0].delta.content for _ in range(1 + len(WORDS))]
    assert "".join(words) == TEXT
    with pytest.raises(openai.APIError, match="broke after"):
        next(chunks)


def test_a_response_is_continued_where_it_is_kept(start: Start, upstream: ScriptedUpstream) -> None:
    gateway = start('[models."glm-5.2"]\nserved_by = [{endpoint = "up", model = "ok"}]\n')
    cheap = {"router": {"allowed": ["gpt-5.5", "glm-5.2"], "prefer": "cheap"}}
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client:
        first = client.responses.create(model="gpt-5.5", input="write a poem about tea")
        again = client.responses.create(model="auto", input="and scones", previous_response_id=first.id, extra_body=cheap)
        other = client.responses.create(model="auto", input="and scones", extra_body=cheap)
        streamed = client.responses.create(
            model="auto", input="hi", previous_response_id=first.id, extra_body=cheap, stream=True
        )
        last = [event.response.model for event in streamed if event.type == "response.completed"]
    assert (first.model, again.model, other.model, last) == ("gpt-5.5", "gpt-5.5", "glm-5.2", ["gpt-5.5"])
    assert upstream.seen[1][1]["previous_response_id"] == first.id


VARIANT = """
[models."gpt-5.5@low"]
model = "gpt-5.5"
request = {reasoning_effort = "low"}
served_by = [{endpoint = "up", model = "ok"}]
"""


def test_a_variant_is_sent_in_the_words_of_each_protocol(start: Start, upstream: ScriptedUpstream) -> None:
    gateway = start(VARIANT)
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="x", max_retries=0) as client:
        completion = client.chat.completions.create(model="gpt-5.5@low", messages=POEM)
        assert completion.model == "gpt-5.5@low"
        client.responses.create(model="gpt-5.5@low", input=POEM, reasoning={"summary": "auto"})
    with anthropic.Anthropic(base_url=gateway.url, api_key="x", max_retries=0) as claude:
        claude.messages.create(model="gpt-5.5@low", max_tokens=100, messages=POEM)
    chat, responses, messages = (body for _, body, _ in upstream.seen)
    assert (chat["model"], chat["reasoning_effort"]) == ("ok", "low")
    assert responses["reasoning"] == {"summary": "auto", "effort": "low"}
    assert messages["output_config"] == {"effort": "low"}
    assert "reasoning_effort" not in responses | messages


def test_a_client_that_sets_the_effort_itself_gets_no_variant_with_another_one(
    start: Start, upstream: ScriptedUpstream
) -> None:
    gateway = start(VARIANT)
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="x", max_retries=0) as client:
        allowed = {"router": {"allowed": ["gpt-5.5", "gpt-5.5@low"]}}
        answer = client.chat.completions.create(model="auto", messages=POEM, reasoning_effort="high", extra_body=allowed)
    assert answer.model == "gpt-5.5"
    assert upstream.seen[0][1]["reasoning_effort"] == "high"


POEMS = [f"write a poem about {what}" for what in ("tea", "rain", "snow")]


def test_a_session_keeps_its_model_by_the_names_that_clients_send(start: Start, upstream: ScriptedUpstream) -> None:
    gateway = start('strategy = "consistent-hash"\n')
    body = {"model": "auto", "router": {"allowed": ["gpt-5.5", "gemini-2.5-flash"]}, "max_tokens": 9}

    def ask(text: str, headers: dict[str, str], **fields: object) -> str:
        sent = {**body, "messages": [{"role": "user", "content": text}], **fields}
        response = httpx.post(f"{gateway.url}/v1/chat/completions", json=sent, headers=headers, timeout=30)
        return response.headers["x-router-model"]

    for headers, fields in (
        ({"x-session-id": "s1"}, {}),
        ({"x-claude-code-session-id": "s2"}, {}),
        ({}, {"session_id": "s3"}),
        ({}, {"prompt_cache_key": "s4"}),
    ):
        assert len({ask(text, headers, **fields) for text in POEMS}) == 1
    assert len({ask(text, {}) for text in POEMS}) == 2  # three sessions
    # Without a name, the first request is the session's. Another user has another session.
    assert len({ask("the same", {}, user="anna") for _ in range(3)}) == 1
    assert len({ask("the same", {}, user=name) for name in "abcdef"}) == 2
