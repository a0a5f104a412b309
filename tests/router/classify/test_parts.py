import pytest

from router.classify.parts import Content, Media, read_content
from router.classify.text import parse_prompt

DATA = "A" * 40_000  # 30,000 bytes in base64


def read(*parts: dict[str, object]) -> Content:
    return read_content(list(parts), "message 0")


@pytest.mark.parametrize("kind", ["text", "input_text", "output_text", None])
def test_texts_are_joined(kind: str | None) -> None:
    content = read({"type": kind, "text": "what is"}, {"type": kind, "text": "this?"})
    assert (content.texts, content.needs, content.unknown) == (("what is", "this?"), frozenset(), frozenset())


@pytest.mark.parametrize(
    ("kind", "need"),
    [
        *((kind, "vision") for kind in ("image_url", "input_image", "image", "image_file")),
        *((kind, "audio") for kind in ("input_audio", "audio", "audio_url")),
        *((kind, "file") for kind in ("file", "input_file", "document", "document_url")),
        *((kind, "video") for kind in ("video_url", "video", "input_video")),
    ],
)
def test_a_part_needs_what_its_type_names(kind: str, need: str) -> None:
    content = read({"type": "text", "text": "this?"}, {"type": kind, kind: {"url": "https://a.b/c"}})
    assert (content.texts, content.needs, content.unknown) == (("this?",), {need}, frozenset())


@pytest.mark.parametrize(
    ("part", "tokens"),
    [
        ({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DATA}"}}, 5000),
        ({"type": "input_audio", "input_audio": {"data": DATA, "format": "wav"}}, 240),  # 125 bytes a token
        ({"type": "video_url", "video_url": {"url": DATA}}, 75),  # 400 bytes a token
        ({"type": "file", "file": {"filename": "a.pdf", "file_data": DATA}}, 3000),  # 10 bytes a token
        ({"type": "file", "file": {"file_id": "file-1"}}, 50_000),  # as 500 kB
        ({"type": "input_audio", "input_audio": {}}, 8000),  # as 1 MB
        ({"type": "video_url", "video_url": {"url": "https://a.b/" + "c" * 300}}, 25_000),  # as 10 MB
        ({"type": "document", "source": {"type": "text", "data": "77 " * 1000}}, 2300),  # a plain text: 1.1 + 1.1 + 0.1
        ({"type": "file", "file": {"file_data": "data:text/csv;base64," + DATA}}, 20_010),  # two characters a token
    ],
)
def test_media_count_by_their_size_and_not_by_their_base64(part: dict[str, object], tokens: int) -> None:
    assert read(part).tokens == tokens


def test_tokens_of_audio_and_images_are_counted_apart() -> None:
    image, sound = (
        {"type": "image_url", "image_url": {"url": "https://a.b/c"}},
        {"type": "input_audio", "input_audio": {"data": DATA}},
    )
    content = read({"type": "text", "text": "this?"}, image, image, sound, {"type": "video_url", "video_url": {"url": DATA}})
    assert content.media == Media(audio=240, image=10_000)
    prompt = parse_prompt([{"role": "user", "content": [image]}, {"role": "user", "content": [sound]}])
    assert prompt.media == Media(audio=240, image=5000)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("hologram", "hologram"),
        ("my secret text", "other"),
        ("x" * 41, "other"),
        (None, "other"),
        (5, "other"),
        (["text"], "other"),
        ({}, "other"),
    ],
)
def test_an_unknown_part_is_named_unless_its_type_could_be_a_text(kind: object, name: str) -> None:
    assert read({"type": kind, "value": 1}).unknown == {name}


@pytest.mark.parametrize("text", [{"value": "hi"}, 5, None, ["a"]])
def test_an_odd_text_counts_in_tokens_and_is_no_unknown_part(text: object) -> None:
    content = read({"type": "text", "text": text})
    assert (content.texts, content.unknown) == ((), frozenset())
    assert content.tokens > 0


@pytest.mark.parametrize("kind", ["refusal", "thinking", "tool_use"])
def test_parts_of_other_protocols_count_by_their_json(kind: str) -> None:
    content = read({"type": kind, "input": "7" * 100})
    assert (content.texts, content.needs, content.unknown) == ((), frozenset(), frozenset())
    assert content.tokens >= 110


def test_the_parts_in_a_tool_result_count() -> None:
    image = {"type": "image", "source": {"data": DATA}}
    content = read({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "7" * 10}, image]})
    assert (content.texts, content.tokens, content.needs) == ((), 5011, {"vision"})
