import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from router.classify.encoder import OnnxEncoder
from router.errors import EncoderError
from tests.training.exporting import EXPORTS
from training.encoder.convert import convert_encoder

pytestmark = EXPORTS
PROMPTS = ("the cat runs in my house", "a red dog", "now here and the old blue house", "word", "cat " * 50, "unknown-words")

Build = Callable[..., Path]


@pytest.mark.parametrize(("precision", "least"), [("fp32", 0.99999), ("int8", 0.98)])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_conversion_gives_the_vectors_of_the_original(
    tmp_path: Path, build: Build, pooling: str, precision: str, least: float
) -> None:
    from sentence_transformers import SentenceTransformer

    original, out = build(pooling=pooling), tmp_path / "new" / "encoder"
    made = convert_encoder(str(original), out, prompts=PROMPTS, name="tiny", precision=precision, max_tokens=32)
    assert made.n == len(PROMPTS)
    assert least <= made.mean_cosine <= 1.0001
    assert made.min_cosine <= made.mean_cosine
    assert made.size_bytes == (out / "model.onnx").stat().st_size
    assert [path.name for path in out.parent.iterdir()] == ["encoder"]
    assert sorted(path.name for path in out.iterdir()) == ["encoder.json", "model.onnx", "tokenizer.json"]

    record = made.record
    assert (record.name, record.dim, record.pooling, record.precision) == ("tiny", 48, pooling, precision)
    assert (record.special_before, record.special_after, record.max_tokens, record.prefix) == ([2], [3], 32, "")
    assert record.normalize
    assert record.inputs == ["input_ids", "attention_mask", "token_type_ids"]
    assert record.weights_sha256 == hashlib.sha256((original / "model.safetensors").read_bytes()).hexdigest()

    loaded, short = OnnxEncoder.load(out), list(PROMPTS[:4])
    assert loaded.record == record
    # The comparison in the conversion uses the same token ids for both. Here the original tokenises the texts itself.
    cosines = (loaded.encode(short) * SentenceTransformer(str(original), device="cpu").encode(short)).sum(axis=1)
    assert cosines.min() > least - 0.03
    other = SentenceTransformer(str(build(pooling="cls" if pooling == "mean" else "mean")), device="cpu").encode(short)
    assert (cosines > (loaded.encode(short) * other).sum(axis=1)).all()


def test_prefix_and_length_are_those_of_the_original(tmp_path: Path, build: Build) -> None:
    def convert(folder: str, **options: object) -> OnnxEncoder:
        convert_encoder(str(build(**options)), tmp_path / folder, prompts=PROMPTS, precision="fp32", max_tokens=1000)
        return OnnxEncoder.load(tmp_path / folder)

    with_prefix, plain = convert("a", prompts={"query": "the red ", "document": "my "}), convert("b", more=())
    assert with_prefix.record.prefix == "the red "
    assert with_prefix.tokenize("cat") == plain.tokenize("the red cat")
    assert plain.record.max_tokens == len(plain.tokenize("cat " * 500)) == 64
    assert not plain.record.normalize


REFUSED = {
    "a further layer": ({"more": ("Dense",)}, None, "got Transformer + Pooling + Dense; choose another model"),
    "max pooling": ({"pooling": "max"}, None, "must pool by mean or cls, got max; choose another model"),
    "another model": ({}, {"int8": 1.01}, "must have a mean cosine to the original of at least 1.01, got"),
    "no model": (None, None, "cannot load"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_model_that_the_runtime_cannot_represent_is_refused_and_leaves_nothing(
    tmp_path: Path, build: Build, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    options, parity, message = REFUSED[case]
    original = tmp_path / "no" / "such" / "model" if options is None else build(**options)
    if parity:
        monkeypatch.setattr("training.encoder.convert._PARITY", parity)
    with pytest.raises(EncoderError) as caught:
        convert_encoder(str(original), tmp_path / "out", prompts=PROMPTS)
    assert message in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_never_changed(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(EncoderError, match="exists already; name a new folder or remove it"):
        convert_encoder("anything", tmp_path / "out", prompts=PROMPTS)
    assert list((tmp_path / "out").iterdir()) == []


def test_the_command_converts_and_compares_on_the_given_prompts(
    tmp_path: Path, build: Build, run_command, write_csv
) -> None:
    prompts = write_csv(tmp_path / "p.csv", [{"prompt": text, "task": "mine"} for text in PROMPTS])
    options = ("--out", tmp_path / "out", "--fp32", "--name", "tiny", "--max-tokens", 16, "--prompts", prompts)
    code, output, _ = run_command("encoder", build(), *options)
    assert code == 0
    assert "tiny, fp32" in output
    assert "48 dimensions, mean pooling, prefix '', 16 tokens" in output
    assert "over 6 prompts: mean 1.0000" in output
