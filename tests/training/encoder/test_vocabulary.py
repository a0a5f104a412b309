import json

import pytest
from tokenizers import Tokenizer

from tests.training.encoder.e5_files import PIECES, make_tokenizer
from training.encoder.vocabulary import PIECES_BY_SCRIPT, choose_pieces, find_script, shrink_tokenizer

VOCABULARY = [(piece, -float(n)) for n, piece in enumerate(PIECES)]


@pytest.mark.parametrize(
    ("piece", "script"),
    [
        ("▁red", "LATIN"),
        ("▁кот", "CYRILLIC"),
        ("猫", "CJK"),
        ("の", "HIRAGANA"),
        ("12", "NONE"),
        ("▁", "NONE"),
        ("की", "DEVANAGARI"),
    ],
)
def test_a_piece_has_the_script_of_most_of_its_letters(piece: str, script: str) -> None:
    assert find_script(piece) == script


def test_letters_used_pieces_and_the_most_likely_ones_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.encoder.vocabulary.PIECES_BY_SCRIPT", dict.fromkeys(PIECES_BY_SCRIPT, 2))
    kept = [PIECES[number] for number in choose_pieces(VOCABULARY, used=[PIECES.index("▁rarely"), 10_000])]
    # Two of each script, of which "red" and "blue" are the most likely, all single letters, and the one that is used.
    assert kept == ["<s>", "<pad>", "</s>", "<unk>", "▁red", "▁blue", "▁кот", "▁猫", *kept[8:]]
    assert "▁rarely" in kept
    assert not {"▁cat", "▁dog", "▁here", "▁redcat"} & set(kept)
    assert set("abcкот猫") <= set(kept)


def test_a_smaller_tokenizer_splits_texts_of_kept_pieces_as_before() -> None:
    full = make_tokenizer()
    kept = [number for number, piece in enumerate(PIECES) if piece not in {"▁dog", "▁redcat"}]
    small = Tokenizer.from_str(shrink_tokenizer(json.loads(full.to_str()), kept))
    assert small.get_vocab_size() == len(kept)
    text = "red cat here кот 猫"
    assert small.encode(text).tokens == full.encode(text).tokens == ["<s>", "▁red", "▁cat", "▁here", "▁кот", "▁猫", "</s>"]
    # A dropped piece is spelled, not unknown.
    assert small.encode("dog").tokens == ["<s>", "▁", "d", "o", "g", "</s>"]
