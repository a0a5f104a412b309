# %% [markdown]
# # Operations
#
# What happens when a backend fails or slows down, how a canary is dealt its share, and how to notice that today's
# prompts are not those of the training. Time is simulated, the router is not: live state, breakers, fallback and
# strategies are those that run in production.

# %%
# %matplotlib inline
import random
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from router import CallError, Estimate, HealthPolicy, ModelProfile, Router, Serving
from router.strategies import Dynamic
from training.plots import plot_calls

# %% [markdown]
# ## Four backends and a clock
#
# An executor is any function that takes a request and returns a text. This one lets simulated seconds pass: every
# backend answers in about 0.6 s; `e1` answers 503 in the second and the third minute, and is eight times slower in the
# sixth and the seventh.

# %%
now, rng, log = [0.0], np.random.default_rng(0), []


def serve(request) -> str:
    ill, slow = (request.endpoint == "e1" and start <= now[0] < start + 120 for start in (60, 300))
    took = 0.05 if ill else rng.lognormal(-0.5, 0.3) * (8 if slow else 1)
    log.append((now[0], request.endpoint, took, ill))
    now[0] += took
    if ill:
        raise CallError("transient", "503 Service Unavailable", status=503)
    return "an answer"


equal = [
    ModelProfile(name=name, quality={"qa": Estimate(mean=0.7, stderr=0.02, n=100)}) for name in ("e1", "e2", "e3", "e4")
]
serving = Serving(executor=serve, health=HealthPolicy(jitter_share=0))
router = Router(equal, strategy=Dynamic(random.Random(0)), serving=serving, clock=lambda: now[0])

# %% [markdown]
# ## Ten minutes
#
# A call is answered by whoever is likely to answer soonest; where that fails, by the next. Its attempts tell what
# happened.

# %%
answers = []
while now[0] < 600:
    answers.append(router.complete("what is the capital of Mongolia?"))
calls = pd.DataFrame(log, columns=["at_s", "endpoint", "seconds", "failed"])
rescued = [answer for answer in answers if len(answer.attempts) > 1]
print(f"{len(answers)} calls answered, {len(rescued)} of them by another backend than was asked first")
[(attempt.model, attempt.failure) for attempt in rescued[0].attempts]

# %%
plot_calls(calls["at_s"].to_numpy(), calls["endpoint"], calls["seconds"].to_numpy(), failed=calls["failed"].to_numpy())

# %% [markdown]
# After a few failures `e1` cools down; a single probe after each cooldown, one call, finds out whether it is well
# again. When it is, its share grows back. A slow backend is found by its latency alone.

# %%
periods = {"well": (0, 60), "failing": (60, 180), "well again": (200, 300), "slow": (310, 420), "well at last": (480, 600)}
shares = {name: (calls.query("@a <= at_s < @b")["endpoint"] == "e1").mean() for name, (a, b) in periods.items()}
pd.Series(shares, name="share of e1").round(3).to_frame()

# %%
health = router.fleet.live.snapshot()
rows = [(h.state, h.completed, h.failures["transient"], h.p50_s, h.p95_s) for h in health.values()]
pd.DataFrame(rows, index=health.keys(), columns=["state", "completed", "failed", "p50 s", "p95 s"]).round(2)

# %% [markdown]
# ## A canary
#
# `weighted-key` deals shares by weight that stick to the key: the same user meets the same model every time. Five in a
# hundred for the new one.

# %%
pair = [replace(equal[0], name="stable", weight=95), replace(equal[1], name="canary", weight=5)]
canary = Router(pair, strategy="weighted-key")
met = {f"user-{i}": canary.route("hello", key=f"user-{i}").model for i in range(4000)}
share = list(met.values()).count("canary") / len(met)
same = all(canary.route("something else", key=user).model == model for user, model in list(met.items())[:500])
share, same

# %% [markdown]
# ## Drift
#
# A hundred and twenty prompts of the kinds that the shipped folder was trained on, and the same with eighty bookings of
# rooms and desks, which it has never seen.

# %%
from router.artifacts import find_artifact, load_artifact
from training.drift import check_drift
from training.logs import read_log

folder, artifact = Path(tempfile.mkdtemp()), load_artifact(find_artifact())
usual = pd.read_csv("../data/prompts.csv").query("task != 'continues'").sample(120, random_state=1)["prompt"]
logs = {"usual": usual, "with bookings": pd.concat([usual, pd.read_csv("bookings.csv")["prompt"]])}
checks = {}
for name, prompts in logs.items():
    prompts.to_frame().to_csv(folder / f"{name}.csv", index=False)
    checks[name] = check_drift(artifact, read_log(folder / f"{name}.csv"))
rows = [(c.drift.n, c.drift.is_significant, c.drift.unsure.now, c.drift.relabel) for c in checks.values()]
pd.DataFrame(rows, index=checks.keys(), columns=["n", "significant", "unsure", "label and retrain"]).round(3)

# %% [markdown]
# Which to label first: those farthest from everything that was seen in training. So many of the first twenty are bookings:

# %%
bookings = set(logs["with bookings"][120:])
sum(suspect.entry.text in bookings for suspect in checks["with bookings"].suspects[:20])

# %% [markdown]
# ## The claim
#
# No call is lost to a failing backend, it is hardly asked while it fails, and it comes back. Drift is told where there
# is some, and not where there is none.

# %%
assert all(answer.text == "an answer" for answer in answers)
assert shares["failing"] < 0.1 < shares["well again"]
assert shares["slow"] < 0.1 < shares["well at last"]
assert abs(share - 0.05) < 0.015
assert same
assert checks["with bookings"].drift.relabel
assert not checks["usual"].drift.relabel
