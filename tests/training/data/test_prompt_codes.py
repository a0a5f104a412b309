import pytest

from tests.training.data.limits import limit_memory
from training.data.prompt_codes import PromptCodes


@pytest.fixture(params=[0, 10**9], ids=["in a database", "in memory"])
def codes(request: pytest.FixtureRequest):
    with limit_memory(prompt_bytes=request.param):
        yield PromptCodes()


def test_a_prompt_keeps_its_code_and_gets_its_group_from_any_row(codes: PromptCodes) -> None:
    rows = [("p", ""), ("q", "g"), ("r", ""), ("", "g"), ("p", ""), ("p", "h"), ("q", ""), ("q", "g"), ("s", "")]
    assert [codes.encode(*row) for row in rows] == [0, 1, 2, -1, 0, 0, 1, 1, 3]
    prompts, groups = codes.finish()
    assert (list(prompts), list(groups)) == (["p", "q", "r", "s"], ["h", "g", "", ""])
    assert (len(prompts), prompts[-1], prompts[1:3]) == (4, "s", ("q", "r"))
    with pytest.raises(IndexError):
        prompts[4]


def test_a_second_group_is_refused_even_long_after_the_first(codes: PromptCodes) -> None:
    for i in range(9):
        codes.encode(f"p{i}", "g" if i == 0 else "")
    with pytest.raises(ValueError, match="got 'g' and 'h'; correct one"):
        codes.encode("p0", "h")


def test_texts_come_back_as_they_were(codes: PromptCodes) -> None:
    texts = ["é", "e\u0301", "\ud83d alone", " p ", "😀" * 1000]
    assert [codes.encode(text, text) for text in texts] == list(range(5))
    assert [list(found) for found in codes.finish()] == [texts, texts]
