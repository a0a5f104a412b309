from training.encoder.draft_texts import make_texts


def test_made_texts_consist_of_parts_of_the_given_ones() -> None:
    given = [f"write a poem about {thing}, please" for thing in "abcdefgh"] + ["long " * 100]
    made = make_texts(given, 200, seed=0)
    assert made == make_texts(given, 200, seed=0) != make_texts(given, 200, seed=1)
    assert 50 < len(made) == len(set(made)) <= 200
    assert {word for text in made for word in text.replace(":", " ").replace(".", " ").split()} <= {
        word for text in given for word in text.split()
    }
    assert make_texts([], 10, seed=0) == make_texts([" "], 10, seed=0) == []
