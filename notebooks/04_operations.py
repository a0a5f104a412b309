# %% [markdown]
# # Operations
#
# This notebook shows the reaction to a failing or slow backend, a canary with a fixed share of the traffic, and the
# detection of drift. Time is simulated. The router is real: its live state, breakers, fallbacks and strategies are those
# of production.

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
from training.evaluation.plots import plot_calls

# %% [markdown]
# ## Four backends and a clock
#
# An executor is any function that takes a request and returns a text. This one moves the simulated clock. Every backend
# answers in about 0.6 s. `e1` answers 503 in the second and third minute. It is eight times slower in the sixth and
# seventh minute.

# %%
now, rng, log = [0.0], np.random.default_rng(0), []


def serve(request) -> str:
    failing, slow = (request.endpoint == "e1" and start <= now[0] < start + 120 for start in (60, 300))
    took = 0.05 if failing else rng.lognormal(-0.5, 0.3) * (8 if slow else 1)
    log.append((now[0], request.endpoint, took, failing))
    now[0] += took
    if failing:
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
# A call goes to the backend with the shortest predicted time. If it fails, the next one answers. The attempts of a
# call show what happened.

# %%
answers = []
while now[0] < 600:
    answers.append(router.complete("what is the capital of Mongolia?"))
calls = pd.DataFrame(log, columns=["at_s", "endpoint", "seconds", "failed"])
rescued = [answer for answer in answers if len(answer.attempts) > 1]
print(f"{len(answers)} calls answered, {len(rescued)} of them by a fallback")
[(attempt.model, attempt.failure) for attempt in rescued[0].attempts]

# %%
plot_calls(calls["at_s"].to_numpy(), calls["endpoint"], calls["seconds"].to_numpy(), failed=calls["failed"].to_numpy())

# %% [markdown]
# `e1` cools down after a few failures. After each cooldown a single call probes it. If the call succeeds, its share of
# the traffic grows again. A slow backend is detected by its latency alone.

# %%
periods = {"healthy": (0, 60), "failing": (60, 180), "recovered": (200, 300), "slow": (310, 420), "fast again": (480, 600)}
shares = {name: (calls.query("@a <= at_s < @b")["endpoint"] == "e1").mean() for name, (a, b) in periods.items()}
pd.Series(shares, name="share of e1").round(3).to_frame()

# %%
health = router.fleet.live.snapshot()
rows = [(h.state, h.completed, h.failures["transient"], h.p50_s, h.p95_s) for h in health.values()]
pd.DataFrame(rows, index=health.keys(), columns=["state", "completed", "failed", "p50 s", "p95 s"]).round(2)

# %% [markdown]
# ## A canary
#
# `weighted-key` splits the keys by weight. The same user always gets the same model. The new model gets five users in a
# hundred.

# %%
pair = [replace(equal[0], name="stable", weight=95), replace(equal[1], name="canary", weight=5)]
canary = Router(pair, strategy="weighted-key")
chosen = {f"user-{i}": canary.route("hello", key=f"user-{i}").model for i in range(4000)}
share = list(chosen.values()).count("canary") / len(chosen)
same = all(canary.route("something else", key=user).model == model for user, model in list(chosen.items())[:500])
share, same

# %% [markdown]
# ## Drift
#
# The first log has 120 prompts of the kinds that the shipped folder was trained on. The second log adds 80 bookings of
# rooms and desks, which the folder has never seen.

# %%
from router.model_folder.load import find_model_folder, load_model_folder
from training.data.logs import read_log
from training.monitor.drift import check_drift

folder, model_folder = Path(tempfile.mkdtemp()), load_model_folder(find_model_folder())
usual = pd.read_csv("../data/prompts.csv").query("task != 'continues'").sample(120, random_state=1)["prompt"]
logs = {"usual": usual, "with bookings": pd.concat([usual, pd.read_csv("bookings.csv")["prompt"]])}
checks = {}
for name, prompts in logs.items():
    prompts.to_frame().to_csv(folder / f"{name}.csv", index=False)
    checks[name] = check_drift(model_folder, read_log(folder / f"{name}.csv"))
rows = [(c.drift.n, c.drift.is_significant, c.drift.unsure.now, c.drift.relabel) for c in checks.values()]
pd.DataFrame(rows, index=checks.keys(), columns=["n", "significant", "unsure", "label and retrain"]).round(3)

# %% [markdown]
# The check also lists prompts to label. Those farthest from all training prompts come first. This is the number of
# bookings among the first twenty:

# %%
bookings = set(logs["with bookings"][120:])
sum(prompt.entry.text in bookings for prompt in checks["with bookings"].to_label[:20])

# %% [markdown]
# ## The claim
#
# No call is lost to a failing backend. The backend gets almost no calls while it fails, and it comes back. Drift is
# reported for the changed log, and not for the usual one.

# %%
assert all(answer.text == "an answer" for answer in answers)
assert shares["failing"] < 0.1 < shares["recovered"]
assert shares["slow"] < 0.1 < shares["fast again"]
assert abs(share - 0.05) < 0.015
assert same
assert checks["with bookings"].drift.relabel
assert not checks["usual"].drift.relabel
