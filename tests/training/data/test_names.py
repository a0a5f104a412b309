from training.data.names import find_known, group_spellings


def test_a_name_is_known_in_any_case_unless_two_names_have_its_spelling() -> None:
    assert find_known(" MATH", ["qa", "math"]) == "math"
    assert find_known("code_review", ["Code Review"]) == "Code Review"
    assert find_known("Math", ["math", "Math"]) == "Math"
    assert find_known("cafe\u0301", ["caf\u00e9"]) == "caf\u00e9"
    assert find_known("MATH", ["math", "Math"]) is None
    assert find_known("maths", ["math"]) is None


def test_spellings_of_one_name_are_grouped_in_order() -> None:
    assert group_spellings(["a-1", "b", "A 1", "a-1", "a_1", "B2"]) == [("a-1", "A 1", "a_1")]
