"""Labelled prompts in short."""

from training.data.prompts import LabelledPrompt


def make_rows(*pairs: str) -> list[LabelledPrompt]:
    """Make rows of `prompt/task` or `prompt/task/also`."""
    parts = [pair.split("/") for pair in pairs]
    return [LabelledPrompt(prompt=part[0], task=part[1], also=tuple(part[2:])) for part in parts]


def make_row(prompt: str, task: str = "qa", **fields: object) -> LabelledPrompt:
    """Make one row. Its group is the prompt, unless `fields` names another."""
    return LabelledPrompt(prompt=prompt, task=task, **{"group": prompt} | fields)  # type: ignore[arg-type]
