"""A number of prompts and a seed in, outliers out: texts without a request, which a classifier should be unsure of."""

from __future__ import annotations

import base64
import random
import string
import uuid
from collections.abc import Callable

# One outlier for this many prompts, and at most this many outliers. These are enough for the classifier to learn from them,
# and too few to make it worse on prompts.
PROMPTS_PER_OUTLIER, _MOST = 20, 400

# Rows of keyboards: QWERTY, Russian and AZERTY.
_KEYS = ("qwertyuiop", "asdfghjkl;", "zxcvbnm,.", "1234567890", "йцукенгшщзх", "фывапролдж", "azertyuiop")

# First and last code points of letters, syllables or characters. Latin stands twice to be drawn twice as often.
_ALPHABETS = (
    (0x61, 0x7A),
    (0x61, 0x7A),
    (0x430, 0x44F),
    (0x4E00, 0x9FA5),
    (0x3042, 0x3093),
    (0xAC00, 0xD7A3),
    (0x627, 0x64A),
)

# First and last code points of blocks of emoji and pictographs.
_EMOJI = ((0x1F600, 0x1F64F), (0x1F300, 0x1F5FF), (0x1F680, 0x1F6C5), (0x2600, 0x26FF), (0x1F900, 0x1F9FF))

_LATIN = (  # "Lorem ipsum", the text from Cicero's De finibus that printers use as a placeholder
    "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore et dolore magna "
    "aliqua enim ad minim veniam quis nostrud exercitation ullamco laboris nisi aliquip ex ea commodo consequat duis aute "
    "irure in reprehenderit voluptate velit esse cillum eu fugiat nulla pariatur excepteur sint occaecat cupidatat non "
    "proident sunt culpa qui officia deserunt mollit anim id est laborum"
)

# Pieces of log lines. The braces in an event take a random number.
_LEVELS = ("INFO", "DEBUG", "WARN", "WARNING", "ERROR", "info", "error", "notice", "TRACE")
_PARTS = (
    "db", "auth", "worker", "api", "cache", "kernel", "nginx", "scheduler", "queue", "mailer", "sync", "disk", "net",
    "proxy", "session", "backup", "sensor", "cron", "tls", "gateway",
)  # fmt: skip
_EVENTS = (
    "started", "stopped", "connection reset by peer", "timeout after {} ms", "retry {} of 5", "request completed in {} ms",
    "user {} logged in", "heartbeat ok", "queue length {}", "flushed {} records", "reloading configuration",
    "GET /v1/items/{}", "listening on port {}", "job {} failed", "disk usage {}%", "certificate expires in {} days",
    "session {} closed", "exit {}",
    "dropped packet {}", "checkpoint complete", "no response from host", "slow query {} ms",
)  # fmt: skip


def make_outliers(n_prompts: int, *, seed: int) -> list[str]:
    """Return outliers: random keys, letters, numbers, punctuation, emoji, codes and log lines.

    Outlier exposure (Hendrycks et al., 2019, arXiv 1812.04606) teaches a classifier a uniform prediction for such texts. A
    random label for each of them has the same effect, for any number of labels.

    Args:
        n_prompts: Number of prompts in the same training set. There is one outlier for 20 prompts, and at most 400.
        seed: The same seed gives the same texts.
    """
    rng = random.Random(f"without request {seed}")  # noqa: S311 - texts, no secrets. Another seed text gives other outliers.
    return [_KINDS[i % len(_KINDS)](rng) for i in range(min(n_prompts // PROMPTS_PER_OUTLIER, _MOST))]


def random_labels(n: int, n_labels: int, *, seed: int | str) -> list[int]:
    """Return n labels in [0, n_labels) in random order, each as often as the others (or once more).

    Args:
        n: Number of labels to return.
        n_labels: Number of different labels.
        seed: The same seed gives the same order.
    """
    labels = [i % n_labels for i in range(n)]
    random.Random(f"labels {seed}").shuffle(labels)  # noqa: S311
    return labels


def _draw(rng: random.Random, spans: tuple[tuple[int, int], ...], n: int) -> str:
    """Return n random characters from one of the spans of code points."""
    first, last = rng.choice(spans)
    return "".join(chr(rng.randint(first, last)) for _ in range(n))


def _letters(rng: random.Random) -> str:
    """Return words of random letters from one or more alphabets."""
    text = " ".join(_draw(rng, _ALPHABETS, rng.randint(1, 9)) for _ in range(rng.choice((1, 1, 1, 2, 3, 6))))
    return text.upper() if rng.random() < 1 / 5 else text


def _keys(rng: random.Random) -> str:
    """Return keys that lie side by side, as if somebody hit the keyboard."""
    row = rng.choice(_KEYS)
    start = rng.randrange(len(row) - 2)
    run = row[start : start + rng.randint(2, 6)]
    return rng.choice((run, run * rng.randint(2, 4), "".join(rng.choices(row, k=rng.randint(4, 30))), f"{run} {run[::-1]}"))


def _digits(rng: random.Random) -> str:
    numbers = [str(rng.randrange(10 ** rng.randint(1, 9))) for _ in range(rng.choice((1, 1, 2, 4, 9)))]
    ascending = "1234567890"[: rng.randint(3, 10)]
    return rng.choice((rng.choice((" ", ", ", "-", "\n")).join(numbers), ascending, rng.choice("0179") * rng.randint(2, 9)))


def _punctuation(rng: random.Random) -> str:
    return rng.choice(
        ("".join(rng.choices(string.punctuation, k=rng.randint(1, 15))), rng.choice(".?!-…*#/") * rng.randint(1, 9))
    )


def _emoji(rng: random.Random) -> str:
    one = _draw(rng, _EMOJI, 1)
    return rng.choice((one * rng.randint(1, 6), _draw(rng, _EMOJI, rng.randint(2, 8))))


def _codes(rng: random.Random) -> str:
    raw = rng.randbytes(rng.randint(4, 40))
    return rng.choice(
        (raw.hex(), base64.b64encode(raw).decode(), str(uuid.UUID(int=rng.getrandbits(128))), f"0x{raw[:8].hex()}")
    )


def _latin(rng: random.Random) -> str:
    """Return words of "Lorem ipsum", in random or in the usual order."""
    known = _LATIN.split()
    words = rng.sample(known, rng.randint(2, 40))
    return f"{' '.join(words).capitalize()}." if rng.random() < 1 / 2 else " ".join(known[: len(words)])


def _repeated(rng: random.Random) -> str:
    return rng.choice((rng.choice(string.ascii_letters) * rng.randint(1, 30), _draw(rng, _ALPHABETS, 2) * rng.randint(2, 6)))


def _log(rng: random.Random) -> str:
    """Return log lines of one format and one hour."""
    form, hour = rng.randrange(6), rng.randrange(24)
    return "\n".join(_log_line(rng, form, hour) for _ in range(rng.choice((1, 2, 4, 9))))


def _log_line(rng: random.Random, form: int, hour: int) -> str:
    day, clock = f"{rng.randint(1, 28):02}", f"{hour:02}:{rng.randrange(60):02}:{rng.randrange(60):02}"
    month, level, part = rng.randint(1, 12), rng.choice(_LEVELS), rng.choice(_PARTS)
    event, address = rng.choice(_EVENTS).format(rng.randrange(9000)), ".".join(str(rng.randrange(256)) for _ in range(4))
    request = f'"GET /{part}/{rng.randrange(999)} HTTP/1.1" {rng.choice((200, 304, 404, 500))}'
    date = f"20{rng.randint(15, 29)}-{month:02}-{day}"
    # All forms are built, and one is returned. To build only that one would change the draws, and so every later text.
    return (
        f"{date} {clock},{rng.randrange(1000):03} {level} {part}: {event}",
        f"[{date}T{clock}Z] [{level}] [{part}] {event}",
        f"Mar {day} {clock} host{rng.randrange(9)} {part}[{rng.randrange(9999)}]: {event}",
        f"{address} - - [{day}/Jun/2024:{clock} +0000] {request}",
        f'{{"ts":"{date}T{clock}Z","level":"{level}","logger":"{part}","msg":"{event}"}}',
        f"{clock} {part} {level} {event} {address}",
    )[form]


# The kinds take turns. Letters, digits and logs stand twice to occur twice as often.
_KINDS: tuple[Callable[[random.Random], str], ...] = (
    _letters, _keys, _digits, _emoji, _log, _letters, _punctuation, _codes, _latin, _repeated, _log, _digits,
)  # fmt: skip
