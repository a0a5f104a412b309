"""The routing strategy in LiteLLM's router, in front of a server."""

import asyncio
import os
from collections.abc import Callable

import pytest

# Without it, LiteLLM fetches its table of prices at import.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
litellm = pytest.importorskip("litellm", reason="litellm is not installed")

from litellm.types.router import RouterRateLimitErrorBasic

from router import NoCandidateError, Router
from router.plugins.litellm import RouterStrategy
from tests.loopback import LoopbackServer
from tests.router.plugins.tool_model import TEXT

pytestmark = pytest.mark.filterwarnings("ignore")
FORBIDDEN = {"1.82.7", "1.82.8", "1.107.0"}
HAIKU = [{"role": "user", "content": "write a haiku about rain"}]


@pytest.fixture
def make_gateway(server: LoopbackServer, shipped: Router) -> Callable[..., litellm.Router]:
    """Make a router of LiteLLM with one group, `auto`."""

    def make(*models: str, names: dict[str, str] | None = None, **options: object) -> litellm.Router:
        common = {"api_base": server.url, "api_key": "sk-none"}
        deployments = [
            {
                "model_name": "auto",
                "litellm_params": {**common, "model": f"openai/{(names or {}).get(model, model)}"},
                "model_info": {"base_model": model} if names else {},
            }
            for model in models
        ]
        gateway = litellm.Router(model_list=deployments, num_retries=1, retry_after=0)
        gateway.register_plugin(RouterStrategy(gateway, shipped, **options))
        return gateway

    return make


def test_the_release_is_not_one_of_those_that_were_compromised() -> None:
    from importlib.metadata import version

    assert version("litellm") not in FORBIDDEN


def test_the_model_that_the_router_chooses_answers(make_gateway: Callable, server: LoopbackServer, shipped: Router) -> None:
    models = {"gpt-5.5", "gpt-4.1-mini"}
    for prefer in ("quality", "cheap"):
        gateway = make_gateway(*models, prefer=prefer)
        expected = shipped.route(HAIKU, prefer=prefer, allowed=models).model
        assert gateway.completion(model="auto", messages=HAIKU).choices[0].message.content == TEXT
        assert server.bodies[-1]["model"] == expected
        assert asyncio.run(gateway.acompletion(model="auto", messages=HAIKU)).choices[0].message.content == TEXT
        assert server.bodies[-1]["model"] == expected


def test_a_retry_goes_to_another_deployment(make_gateway: Callable, server: LoopbackServer) -> None:
    names = {"gpt-5.5": "down", "gpt-4.1-mini": "ok"}
    for ask in ("completion", "acompletion"):
        answer = getattr(make_gateway(*names, names=names, prefer="quality"), ask)(model="auto", messages=HAIKU)
        answer = asyncio.run(answer) if ask == "acompletion" else answer
        assert answer.choices[0].message.content == TEXT
        assert [body["model"] for body in server.bodies[-2:]] == ["down", "ok"]


def test_deployments_that_cool_down_are_left_out(make_gateway: Callable) -> None:
    gateway = make_gateway("gpt-5.5", "gpt-4.1-mini", prefer="quality")
    for expected in ("openai/gpt-5.5", "openai/gpt-4.1-mini"):
        chosen = gateway.get_available_deployment("auto", HAIKU)
        assert chosen["litellm_params"]["model"] == expected
        gateway.health().cooldowns.add_deployment_to_cooldown(chosen["model_info"]["id"], ValueError("503"), 503, 60.0)
    with pytest.raises(RouterRateLimitErrorBasic):
        gateway.get_available_deployment("auto", HAIKU)


def test_models_that_the_folder_does_not_know_are_a_last_resort(make_gateway: Callable) -> None:
    pick = make_gateway("unknown", "openrouter/gpt-4.1-mini").get_available_deployment
    assert {pick("auto", HAIKU)["litellm_params"]["model"] for _ in range(10)} == {"openai/openrouter/gpt-4.1-mini"}
    assert make_gateway("unknown").get_available_deployment("auto", HAIKU)["litellm_params"]["model"] == "openai/unknown"


def test_options_hold_for_the_group(make_gateway: Callable) -> None:
    pick = make_gateway("gpt-5.5", "gpt-4.1-mini", allowed={"gpt-4.1-mini"}, prefer="quality").get_available_deployment
    assert pick("auto", HAIKU)["litellm_params"]["model"] == "openai/gpt-4.1-mini"
    with pytest.raises(NoCandidateError):
        make_gateway("gpt-5.5", max_cost_usd=0).get_available_deployment("auto", HAIKU)
