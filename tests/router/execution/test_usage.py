"""Usages as the makers document them: OpenAI's chat completions and responses, Anthropic's messages."""

from typing import Any

import pytest

from router.calls import Usage
from router.execution.usage import read_chat_usage, read_messages_usage, read_responses_usage

# platform.openai.com, audio: a spoken question and a spoken answer.
SPOKEN = {
    "prompt_tokens": 300,
    "completion_tokens": 90,
    "total_tokens": 390,
    "prompt_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 50, "text_tokens": 60, "audio_tokens": 240},
    "completion_tokens_details": {"reasoning_tokens": 0, "text_tokens": 20, "audio_tokens": 70},
}


def test_a_chat_completion_says_which_tokens_are_cached_and_which_are_audio() -> None:
    assert read_chat_usage(SPOKEN) == Usage(
        input_tokens=300,
        output_tokens=90,
        cached_tokens=100,
        cache_write_tokens=50,
        audio_input_tokens=240,
        audio_output_tokens=70,
    )


def test_a_response_has_other_names_for_the_same() -> None:
    usage = {
        "input_tokens": 900,
        "input_tokens_details": {"cached_tokens": 512, "image_tokens": 300},
        "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 4},
    }
    assert read_responses_usage(usage) == Usage(input_tokens=900, output_tokens=9, cached_tokens=512, image_input_tokens=300)


def test_claude_counts_the_tokens_of_the_cache_beside_the_others() -> None:
    usage = {"input_tokens": 7, "cache_read_input_tokens": 2000, "cache_creation_input_tokens": 500, "output_tokens": 30}
    assert read_messages_usage(usage) == Usage(
        input_tokens=2507, output_tokens=30, cached_tokens=2000, cache_write_tokens=500
    )


@pytest.mark.parametrize("details", [None, 5, [], {}, {"cached_tokens": None, "audio_tokens": "many", "image_tokens": -1}])
def test_details_that_are_missing_or_malformed_count_as_none(details: Any) -> None:
    usage = {
        "prompt_tokens": 3,
        "completion_tokens": 1,
        "prompt_tokens_details": details,
        "completion_tokens_details": details,
    }
    assert read_chat_usage(usage) == Usage(input_tokens=3, output_tokens=1)


@pytest.mark.parametrize("usage", [None, 5, [], {}, {"prompt_tokens": "3"}])
def test_no_usage_is_none(usage: Any) -> None:
    assert read_chat_usage(usage) is None
    assert read_responses_usage(usage) in (None, Usage())
    assert read_messages_usage(usage) in (None, Usage())
