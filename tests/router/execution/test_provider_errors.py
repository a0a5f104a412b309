"""Error answers of real servers, each sent through the SDK from a loopback server. Their sources stand in the data file."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from router.calls import Reply
from router.errors import CallError
from router.execution.endpoint import Endpoint
from router.execution.error_body import read_error_body
from router.execution.failure_rules import Rule, load_rules
from router.execution.failures import failure_in
from router.execution.openai import OpenAIExecutor
from tests.loopback import LoopbackServer, Response, make_json
from tests.router.execution.openai_lab import requests_of

FILE = Path(__file__).with_name("provider_errors.jsonl")
ANSWERS: list[dict[str, Any]] = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
NAMED_IN_THE_ISSUE = {
    *("openai", "azure", "anthropic", "gemini", "bedrock", "xai", "mistral", "deepseek", "groq", "together", "fireworks"),
    *("openrouter", "dashscope", "moonshot", "zhipu", "vllm", "sglang", "tgi", "llamacpp", "ollama", "lmstudio"),
}
both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])

# Wordings that no answer in the file has: status, kind, limit if the prompt is too long, message or error object.
WORDINGS: list[tuple[int, str, int | None, object]] = [
    (429, "too long", None, "Extra usage is required for long context requests."),
    (402, "auth", None, "Prompt tokens limit exceeded: 69120 > 36608. To increase, visit https://openrouter.ai/settings"),
    (429, "auth", None, "Your prepayment credits are depleted."),
    (400, "rate_limit", None, "You have exceeded your usage limits. Please try again later or contact us."),
    (400, "too long", 32768, "Prompt contains 40000 tokens, too large for model with 32768 maximum context length"),
    (400, "too long", 272000, "Input tokens exceed the configured limit of 272000 tokens."),
    (400, "too long", 200000, "input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000, decrease it"),
    (400, "too long", 90000, "prompt token count of 93854 exceeds the limit of 90000"),
    (400, "too long", None, {"code": "model_max_prompt_tokens_exceeded"}),
    (400, "too long", None, {"type": "exceed_context_size_error"}),
    (500, "too long", 2048, "Requested tokens (3000) exceed context window of 2048"),
    (400, "too long", 30000, "Total message token length exceed model limit: 30000 tokens."),
    (400, "too long", 32768, "max_total_tokens (33802) must be less than or equal to max_seq_len (32768)"),
    (400, "too long", None, "Prompt 超长"),
    (400, "too long", None, "The number of tokens is greater than the token limit"),
    (400, "too long", None, "Please reduce the length of the messages."),
    (400, "too long", None, "Input is too long for requested model."),
    (400, "too long", None, "too many tokens in the prompt"),
    (400, "too long", None, {"code": "string_above_max_length", "message": "Invalid 'input': string too long."}),
    (400, "too long", 8192, "model max length exceeded, max length: 8192"),
    (400, "too long", None, "Malformed input request: expected maxLength: 8192, actual: 9000"),
    (400, "too long", None, {"type": "request_too_large"}),
    (400, "auth", None, "Your credit balance is too low to access the API."),
    (403, "auth", None, "You have exceeded your monthly included credits."),
    (422, "auth", None, "Budget has been exceeded! Current cost: 26.075, Max budget: 0.25"),
    (429, "auth", None, {"code": "quota_exceeded"}),
    (400, "auth", None, "no api key supplied"),
    (400, "auth", None, "Authentication Fails (no such user)"),
    (403, "auth", None, "this model requires a subscription, upgrade for access"),
    (400, "auth", None, "Operation not allowed"),
    (400, "auth", None, "url error, please check url"),
    (400, "unable", None, "The request was rejected because it was considered high risk"),
    (500, "unable", None, "input new_sensitive (1026)"),
    (403, "unable", None, "Your chosen model requires moderation."),
    (400, "request", None, "tool_result blocks without a corresponding block: unexpected `tool_use_id` found"),
    (400, "request", None, "Invalid request: tool_call_id  is not found"),
    (500, "unable", None, {"type": "internal_server_error", "message": "1 validation error:\n  {'type': 'literal_error'}"}),
    (429, "rate_limit", None, "You are past the per minute request limit, please wait and try again later."),
    (400, "request", None, "The request body is not valid JSON: unexpected control character"),
    (403, "auth", None, {"type": "permission_error", "message": "Request not allowed"}),
]


@pytest.fixture(scope="module")
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer(lambda _: make_json({})) as running:
        yield running


@pytest.fixture(scope="module")
def executor(server: LoopbackServer) -> Iterator[OpenAIExecutor]:
    executor = OpenAIExecutor({"it": Endpoint(base_url=server.url, stream_usage=False)})
    yield executor
    executor.close()


def fail(server: LoopbackServer, executor: OpenAIExecutor, status: int, body: object, *, streamed: bool) -> CallError:
    """Return the failure that the SDK's error for this answer becomes."""
    text = body if isinstance(body, str) else json.dumps(body)
    as_events = status == 200 and streamed and not isinstance(body, str)
    kind = "application/json"
    if as_events or text.startswith(("data:", "event:")):
        kind = "text/event-stream"
    elif isinstance(body, str):
        kind = "text/html" if body.startswith("<") else "text/plain"
    content = (f"data: {text}\n\ndata: [DONE]\n\n" if as_events else text).encode()
    server.respond = lambda _: Response(content=content, content_type=kind, status=status)
    with pytest.raises(CallError) as caught:
        ask(executor, streamed=streamed)
    return caught.value


def ask(executor: OpenAIExecutor, *, streamed: bool) -> None:
    answer = executor.call(requests_of("it", stream=streamed))
    if not isinstance(answer, Reply):
        list(answer)


def message_in(body: object) -> str:
    """Return the server's main text, or "" if it has none."""
    if isinstance(body, list):
        return message_in(body[0])
    if not isinstance(body, dict):
        return str(body)
    return message_in(body.get("error") or body.get("message") or body.get("detail") or "")


def body_of(wording: object) -> object:
    return {"error": {"message": wording} if isinstance(wording, str) else wording}


def deciding_rule(status: int, body: object) -> Rule | None:
    inner = body.get("error", body) if isinstance(body, dict) else body
    text = read_error_body(inner).text
    return next((rule for rule in load_rules() if rule.fits(None if status == 200 else status, text)), None)


@both_ways
@pytest.mark.parametrize("name", sorted({answer["server"] for answer in ANSWERS}))
def test_each_answer_of_a_real_server_has_its_class(
    server: LoopbackServer, executor: OpenAIExecutor, name: str, streamed: bool
) -> None:
    for answer in (answer for answer in ANSWERS if answer["server"] == name):
        error = fail(server, executor, answer["status"], answer["body"], streamed=streamed)
        wanted = (answer["kind"], answer["too_long"], answer["limit"])
        assert (error.kind, error.too_long, error.context_limit) == wanted, answer
        if len(message := message_in(answer["body"])) > 10:
            assert message in str(error.detail)
            assert message not in f"{error} {error!r}"


@pytest.mark.parametrize(("status", "kind", "limit", "wording"), WORDINGS, ids=lambda value: str(value)[:40])
def test_a_wording_has_its_class(
    server: LoopbackServer, executor: OpenAIExecutor, status: int, kind: str, limit: int | None, wording: object
) -> None:
    error = fail(server, executor, status, body_of(wording), streamed=False)
    assert ("too long" if error.too_long else error.kind, error.context_limit) == (kind, limit)


def test_every_rule_decides_an_example() -> None:
    decided = [deciding_rule(answer["status"], answer["body"]) for answer in ANSWERS]
    decided += [deciding_rule(status, body_of(wording)) for status, _, _, wording in WORDINGS]
    assert [rule.words.pattern for rule in load_rules() if rule not in decided] == []


def test_the_servers_of_the_issue_have_answers_of_both_kinds_with_public_sources() -> None:
    kinds = {server: {a["kind"] for a in ANSWERS if a["server"] == server} for server in NAMED_IN_THE_ISSUE}
    assert {server for server, found in kinds.items() if not {"auth", "unable"} <= found} == set()
    assert all(answer["source"].startswith("https://") for answer in ANSWERS)


LONG_TEXT = "prompt is too long: 210000 tokens > 200000 maximum"
NESTED = json.dumps({"error": {"message": LONG_TEXT, "type": "invalid_request_error"}})
SHAPES: dict[str, tuple[int, object]] = {
    "a list, as of Gemini": (400, [{"error": {"code": 400, "message": LONG_TEXT, "status": "INVALID_ARGUMENT"}}]),
    "a text as the error, as of xAI": (400, {"code": "Client specified an invalid argument", "error": LONG_TEXT}),
    "no error object, as of Mistral": (400, {"object": "error", "message": LONG_TEXT, "code": "3051"}),
    "a detail, as of FastAPI": (400, {"detail": LONG_TEXT}),
    "JSON in a text, as of OpenRouter": (400, {"error": {"message": "Provider error", "metadata": {"raw": NESTED}}}),
    "JSON after a text, as of LM Studio": (400, {"error": f"Engine protocol predict request returned 400: {NESTED}"}),
    "plain text": (400, LONG_TEXT),
    "an error object in an answer": (200, {"error": {"message": LONG_TEXT}}),
    "an error text in an answer": (200, {"error": LONG_TEXT}),
    "an error in a choice": (200, {"choices": [{"index": 0, "finish_reason": "error", "error": {"message": LONG_TEXT}}]}),
}


@both_ways
@pytest.mark.parametrize(("status", "body"), SHAPES.values(), ids=SHAPES)
def test_the_words_count_in_every_shape_of_an_answer(
    server: LoopbackServer, executor: OpenAIExecutor, status: int, body: object, streamed: bool
) -> None:
    error = fail(server, executor, status, body, streamed=streamed)
    assert (error.kind, error.too_long, error.context_limit) == ("unable", True, 200000)


def test_a_named_error_event_in_a_stream_counts_too(server: LoopbackServer, executor: OpenAIExecutor) -> None:
    error = fail(server, executor, 200, f"event: error\ndata: {NESTED}\n\n", streamed=True)
    assert (error.kind, error.context_limit) == ("unable", 200000)


@both_ways
def test_the_words_of_a_page_from_a_proxy_do_not_count(
    server: LoopbackServer, executor: OpenAIExecutor, streamed: bool
) -> None:
    page = f"<!DOCTYPE html><html><body>blocked by content policy, {LONG_TEXT}</body></html>"
    kinds = [fail(server, executor, status, page, streamed=streamed).kind for status in (400, 403, 429, 502)]
    assert kinds == ["unable", "auth", "rate_limit", "transient"]


def test_a_seconds_field_in_the_body_becomes_the_wait_of_a_rate_limit() -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "26s"}]
    error = failure_in({"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota exceeded.", "details": details})
    assert (error.kind, error.retry_after_s) == ("rate_limit", 26.0)
