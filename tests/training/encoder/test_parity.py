from pathlib import Path

from training.encoder.parity import parity_prompts


def test_the_built_in_prompts_are_many_and_the_same_every_time() -> None:
    assert len(set(parity_prompts(None, 200))) > 190
    assert parity_prompts(None, 5) == parity_prompts(None, 5)


def test_a_file_gives_at_most_its_own_prompts(tmp_path: Path, write_csv) -> None:
    path = write_csv(tmp_path / "p.csv", [{"prompt": f"prompt {i}", "task": "mine"} for i in range(3)])
    assert sorted(parity_prompts(path, 200)) == ["prompt 0", "prompt 1", "prompt 2"]
    assert len(parity_prompts(path, 2)) == 2
