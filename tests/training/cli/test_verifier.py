from pathlib import Path


def test_a_verifier_is_measured(run_command, tmp_path: Path) -> None:
    answers, benchmark = tmp_path / "answers.csv", tmp_path / "benchmark.csv"
    rows = [("true", 1)] * 8 + [("no", 1)] * 2 + [("0", 0)] * 3 + [("yes", 0)]
    answers.write_text("accepted,score\n" + "".join(f"{accepted},{score}\n" for accepted, score in rows))
    code, output, errors = run_command("verifier", "--answers", answers)
    assert (code, errors) == (0, "")
    assert output.splitlines() == [
        "# 14 answers, of which 10 are right",
        "true_accept = 0.800  # 95 % interval 0.490 to 0.943",
        "false_accept = 0.250  # 95 % interval 0.046 to 0.699",
    ]
    lines = [f"what is {i}?,math,{model},{i % 2}" for i in range(4) for model in ("a", "b")]
    benchmark.write_text("prompt,task,model,score\n" + "\n".join(lines) + "\n")
    assert run_command("verifier", "--answers", answers, "--benchmark", benchmark)[1].splitlines()[-1] == "overlap = 1.00"


def test_a_faulty_row_is_named(run_command, tmp_path: Path) -> None:
    answers = tmp_path / "answers.csv"
    answers.write_text("accepted,score\ntrue,1\nperhaps,0\n")
    code, _, errors = run_command("verifier", "--answers", answers)
    assert code != 0
    assert "row 3: accepted must be true or false and score a number from 0 to 1, got 'perhaps' and '0'" in errors
