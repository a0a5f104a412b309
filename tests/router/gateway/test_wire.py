import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import InputError
from router.gateway.wire import EventSplitter, _split_object, name_model, read_body, read_data, replace_data, write_body

BODY = b'{"model": "auto", "seed": 12345678901234567890, "x": 1.0, "y": "\\u00e9\\ud83d", "z": [1e400, {"model": "inner"}]}'
STREAM = b': ping\n\nevent: a\r\ndata: {"x": 1}\r\n\r\ndata: one\ndata: two\n\ndata: last\r\r'


def test_what_is_not_changed_keeps_its_bytes() -> None:
    body = read_body(BODY)
    assert [bytes(value) for value in body.values()] == [
        b'"auto"',
        b"12345678901234567890",
        b"1.0",
        b'"\\u00e9\\ud83d"',
        b'[1e400, {"model": "inner"}]',
    ]
    assert (
        write_body(body)
        == b'{"model":"auto","seed":12345678901234567890,"x":1.0,"y":"\\u00e9\\ud83d","z":[1e400, {"model": "inner"}]}'
    )
    named = name_model(BODY, "gpt")
    assert json.loads(named)["model"] == "gpt"
    assert b'{"model": "inner"}' in named


@pytest.mark.parametrize("data", [b"{}", b' {"a" :[1,"x"] , "b":{}} ', b'{"a": "\\ud83d", "a": 2}'])
def test_both_parsers_read_the_same(data: bytes) -> None:
    assert {name: json.loads(bytes(value)) for name, value in _split_object(data.decode()).items()} == json.loads(data)
    assert {name: json.loads(bytes(value)) for name, value in read_body(data).items()} == json.loads(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'"text"',
        b'{"a": 1',
        b'{"a": NaN}',
        b'{"a": 1,}',
        b'{"a": 1} x',
        b"{1: 2}",
        b'{"a" 1}',
        b"{} {}",
        b"\xff",
        b'{"a": ' + b"[" * 100_000,
    ],
)
def test_other_bodies_are_refused(data: bytes) -> None:
    with pytest.raises(InputError, match="must be a JSON object"):
        read_body(data)


@pytest.mark.parametrize("data", [b"[DONE]", b'{"a": 1}', b'{"response": {"a": 1}}', b'{"model"'])
def test_data_without_a_model_stays(data: bytes) -> None:
    assert name_model(data, "gpt") == data
    assert name_model(data, "gpt", within="response") == data


def test_the_model_of_an_inner_object_is_named() -> None:
    data = b'{"type": "x", "response": {"id": 1, "model": "up", "tools": [{"model": "t"}]}}'
    assert json.loads(name_model(data, "gpt", within="response")) == {
        "type": "x",
        "response": {"id": 1, "model": "gpt", "tools": [{"model": "t"}]},
    }


@given(st.lists(st.integers(0, len(STREAM))))
def test_events_are_the_same_however_the_network_cuts_them(cuts: list[int]) -> None:
    splitter, places = EventSplitter(), [0, *sorted(cuts), len(STREAM)]
    events = [event for i, j in pairwise(places) for event in splitter.feed(STREAM[i:j])]
    events.append(splitter.end())
    assert [data for event in events if (data := read_data(event))] == [b'{"x": 1}', b"one\ntwo", b"last"]
    assert b"".join(events) == STREAM


def test_an_event_without_an_end_is_not_kept_for_ever() -> None:
    splitter = EventSplitter()
    assert [event for _ in range(32) for event in splitter.feed(b"x" * (1 << 20))] == []
    with pytest.raises(InputError, match="more than"):
        next(splitter.feed(b"x"))


def test_only_the_data_of_an_event_is_replaced() -> None:
    event = b'event: a\r\ndata: {"x": 1}\r\n\r\n'
    assert replace_data(event, read_data(event), b'{"y":2}') == b'event: a\r\ndata: {"y":2}\r\n\r\n'
