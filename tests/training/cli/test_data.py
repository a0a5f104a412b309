from pathlib import Path

from training.data.benchmark import read_benchmark


def test_check_data_prints_the_mix_and_writes_the_rows_to_check(
    run_command, tmp_path: Path, small, encoder_folder: Path, write_csv
) -> None:
    first = small.prompts[0] | {"kind": "bugs", "style": "typed|two"}
    prompts = write_csv(tmp_path / "p.csv", [*small.prompts, first, first | {"task": "math"}])
    out = tmp_path / "look.csv"
    code, output, errors = run_command("check-data", prompts, "--out", out, "--encoder", encoder_folder, "--kinds")
    assert (code, errors) == (0, "")
    lines = output.splitlines()
    assert lines[0] == f"{prompts}: 47 prompts"
    for start in (
        "coding              16 ",
        "too few: ethics has 0 prompts",
        "typed      ",
        "coding, 2 kinds: not named 15, bugs 1",
    ):
        assert any(line.startswith(start) for line in lines), start
    assert [line.split()[-1] for line in lines if line.startswith(("duplicate", "conflicting labels"))] == ["1", "1"]
    rows = out.read_text(encoding="utf-8").splitlines()
    assert rows[1].startswith("duplicate,47,coding,,1.000,2,")
    assert rows[2].startswith("conflicting labels,48,math,,1.000,2,")
    assert lines[-1].startswith(f"{out}: ")


def test_check_data_finds_nothing_in_a_few_clean_prompts(
    run_command, tmp_path: Path, small, encoder_folder: Path, write_csv
) -> None:
    prompts = write_csv(tmp_path / "p.csv", small.prompts[:3])
    code, output, _ = run_command("check-data", prompts, "--encoder", encoder_folder)
    assert (code, output.splitlines()[-1]) == (0, "nothing to check")


def test_check_data_prints_labels_that_differ_only_in_case(
    run_command, tmp_path: Path, small, encoder_folder: Path, write_csv
) -> None:
    prompts = write_csv(tmp_path / "p.csv", [*small.prompts[:3], {"prompt": "fix it", "task": "Coding"}])
    _, output, _ = run_command("check-data", prompts, "--encoder", encoder_folder, "--own-tasks")
    assert output.splitlines()[1] == (
        "note: p.csv: tasks must differ in more than case, spaces and hyphens, got 'coding' (first in row 2) and 'Coding' "
        "(first in row 5); write them alike, or they count as different ones"
    )


def test_published_reproduces_the_benchmark_of_the_repository(run_command, tmp_path: Path, root: Path) -> None:
    folder, out = root / "data" / "published", tmp_path / "b.csv"
    code, output, _ = run_command(
        "published", "--figures", folder / "figures.csv", "--models", folder / "models.csv", "--out", out
    )
    assert (code, output) == (0, f"{out}: {len(read_benchmark(out).results)} rows\n")
    assert out.read_bytes() == (root / "data" / "benchmark.csv").read_bytes()
