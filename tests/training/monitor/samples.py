"""Made-up traffic and logs of the monitor's tests."""

import numpy as np

from training.data.logs import LoggedPrompt
from training.monitor.traffic import Traffic

TASKS = ("coding", "math")


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def traffic(n: int, *, seed: int, math: float = 0.5, moved: float = 0.0, sure: float = 0.9) -> Traffic:
    """Make prompts of two tasks.

    Args:
        n: Number of prompts.
        seed: Seed of the random embeddings and tasks.
        math: Share of prompts whose most likely task is math.
        moved: Distance by which the embeddings move along one direction.
        sure: Probability of the most likely task.
    """
    rng = np.random.default_rng(seed)
    is_math = rng.random(n) < math
    embeddings = unit(rng.normal(size=(n, 8)) + moved * np.eye(8)[0])
    probabilities = np.where(is_math[:, None], (1 - sure, sure), (sure, 1 - sure))
    return Traffic(tasks=TASKS, threshold=0.6, embeddings=embeddings, probabilities=probabilities, continues=np.zeros(n))


def log(*texts: str) -> list[LoggedPrompt]:
    return [LoggedPrompt(prompt=text, text=text, row=row) for row, text in enumerate(texts, 2)]
