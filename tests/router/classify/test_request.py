import time

import pytest

from router.classify.request import Said, find_requests
from router.classify.text import parse_prompt


def ask(*messages: str | list[str], agent: bool = True) -> list[str]:
    return find_requests([Said("user", [each] if isinstance(each, str) else each) for each in messages], agent=agent)


@pytest.mark.parametrize(
    "text",
    [
        "<system-reminder>\nSummarize every file.\n</system-reminder>\nwhy does the import fail",
        "why does the import fail\n<env os='x'>\ncwd: /a\n</env>",
        "<a-b>\nTranslate all.\n</a-b>\n\n<c_d>1</c_d>\nwhy does the import fail",
        "[[STATE]]\nstep 3\n[[/STATE]]\nwhy does the import fail",
        "--- begin file a.py ---\nprint(1)\n--- end file ---\nwhy does the import fail",
        "=== Open tabs ===\na.py\n=== end ===\nwhy does the import fail",
        "<context>\n<rule>Be brief.</rule>\n<user_query>why does the import fail</user_query>\n</context>",
        "Write a summary.\n<userMessage>why does the import fail</userMessage>",
    ],
)
@pytest.mark.parametrize("agent", [True, False])
def test_text_outside_of_blocks_counts_unless_a_block_holds_the_request(text: str, agent: bool) -> None:
    assert ask(text, agent=agent) == ["why does the import fail"]


@pytest.mark.parametrize(
    "text",
    [
        "### Workspace\nbranch: main\n\nwhy does the import fail",
        "USER REQUEST: why does the import fail\nMEMORY: the user likes tests",
        "# files\na.py\n# request\nwhy does the import fail",
        "2031-06-02T03:11:07Z edge timed out\n2031-06-02T03:11:08Z edge timed out\nwhy does the import fail",
        "@@ -1,2 +1,2 @@\n--- a.py\n+++ b.py\nwhy does the import fail",
        "```\ndef f(): ...\n```\nwhy does the import fail",
        "[hint] Summarize the page?\nwhy does the import fail",
        "(shell) page opened\nwhy does the import fail",
        "Current time: 10:15\nwhy does the import fail",
        "form: a\ndesk: b\nask: why does the import fail",
        '{"event": "turn", "policy": "Translate silently.", "comment": {"body": "why does the import fail"}}',
        "> on Monday Ann wrote\n> please translate\nwhy does the import fail",
    ],
)
def test_agents_put_headings_labels_and_data_around_a_request(text: str) -> None:
    assert ask(text) == ["why does the import fail"]


@pytest.mark.parametrize(
    "text",
    [
        "<div>\n  <p>one</p>\n</div>\nmake this red",
        "Translate this:\nGuten Morgen",
        "translate this: Guten Morgen",
        "a poem about <rain> and <snow>",
        "<b>bold</b> is not bold, why",
        "plain words",
    ],
)
@pytest.mark.parametrize("agent", [True, False])
def test_what_people_paste_and_type_stays(text: str, agent: bool) -> None:
    assert ask(text, agent=agent) == [text]


def test_without_tools_a_document_stays_whole() -> None:
    text = "# Title\n\nkey: value\n\n```\ncode\n```\nsummarize this"
    assert ask(text, agent=False) == [text]
    assert ask("<notes>\nonly a block\n</notes>", agent=False) == ["<notes>\nonly a block\n</notes>"]


def test_a_message_without_words_of_the_person_is_left_out() -> None:
    assert ask("fix it", "<reminder>Translate all.</reminder>", "[read_file] Result: ok", "TASK: ") == ["fix it"]


def test_lines_that_many_messages_repeat_do_not_count_but_for_their_numbers() -> None:
    said = [f"turn {n} with budget {90 - n}\n{words}" for n, words in enumerate(["sort the list", "yes", "now in reverse"])]
    assert ask(*said) == ["sort the list", "yes", "now in reverse"]
    assert ask(*said, agent=False) == ["sort the list", "yes", "now in reverse"]
    assert ask("yes", "yes", agent=False) == ["yes", "yes"]


def test_a_summary_of_the_session_is_a_request_of_its_own_from_any_role() -> None:
    summary = "This session continues an earlier one. Summary:\nThe user asked to fix the parser."
    assert ask([summary, "go on"]) == ["The user asked to fix the parser.", "go on"]
    found = find_requests([Said("system", [summary]), Said("user", ["go on"])], agent=True)
    assert found == ["The user asked to fix the parser.", "go on"]
    assert ask("<conversation-summary>\nThe parser is slow.\n</conversation-summary>\ngo on") == [
        "The parser is slow.",
        "go on",
    ]


def test_a_request_after_a_reminder_is_what_the_router_reads() -> None:
    reminder = {"type": "text", "text": "<system-reminder>Summarize what you read.</system-reminder>"}
    result = {"type": "tool_result", "tool_use_id": "1", "content": "please translate"}
    messages = [
        {"role": "user", "content": [reminder, {"type": "text", "text": "fix the login test"}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "read", "input": {}}]},
        {"role": "user", "content": [result, reminder]},
    ]
    assert parse_prompt(messages).turns == ("fix the login test",)


@pytest.mark.parametrize(
    "text", ["<a>" * 60_000, "<a\n" * 60_000, "[[a]]\n" * 40_000, "--- a ---\n" * 30_000, "{" * 100_000]
)
def test_odd_texts_take_no_longer_than_plain_ones(text: str) -> None:
    began = time.process_time()
    ask("plain words\n" * 20_000)
    plain = time.process_time() - began
    began = time.process_time()
    assert ask(text) is not None
    assert time.process_time() - began < 20 * plain + 1


@pytest.mark.parametrize(
    "text",
    [
        "<!-- open: a.css -->\nwhy does the import fail\n<!-- hint: rewrite the text -->",
        "Turn 1. The screen showed a poster. The user typed « why does the import fail » and pressed the key.",
        'The user said: "why does the import fail" and waited.',
        "| field | value |\n|---|---|\n| sheet | Q2 |\n| ask | why does the import fail |",
        "From: Ann <a@b.example>\nTo: help@desk.example\nSubject: site\n\nwhy does the import fail\n\n"
        "-------- Forwarded message --------\nFrom: Bo\n> please translate",
        "session:\n  who: a@b.example\nsaid: >-\n  why does the import fail\npolicy:\n  - summarize first",
        "mode=edit\nfile=a.py\nwhy does the import fail\n  40 | import b\n> 41 | import c",
        "- [x] read the guide\n- [ ] wrote an example\nwhy does the import fail",
        "diff --git a/a.py b/a.py\n@@ -1 +1 @@\n     return x\n\nwhy does the import fail\ntokens left: 180877",
    ],
)
def test_rarer_ways_to_surround_a_request(text: str) -> None:
    assert ask(text) == ["why does the import fail"]


def test_an_assistant_who_speaks_of_a_summary_sums_nothing_up() -> None:
    said = [Said("user", ["hi"]), Said("assistant", ["Here is the summary of our chat:\nYou said hi."])]
    assert find_requests(said, agent=True) == ["hi"]
