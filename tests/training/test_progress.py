from training.progress import Stages


def test_shares_are_those_of_the_expected_work() -> None:
    told: list[tuple[str, float]] = []
    stages = Stages({"first": 1.0, "second": 3.0}, lambda stage, share: told.append((stage, share)))
    stages.begin("first")
    stages.begin("second")
    assert list(stages.watch_texts(["a", "b", "c"])) == ["a", "b", "c"]
    stages.end()
    assert told == [("first", 0.0), ("second", 0.25), ("second", 0.5), ("second", 0.75), ("second", 1.0), ("done", 1.0)]


def test_without_a_listener_the_items_pass_all_the_same() -> None:
    stages = Stages({"only": 0.0})
    stages.begin("only")
    assert list(stages.watch(iter("ab"), 2)) == ["a", "b"]
    stages.end()
