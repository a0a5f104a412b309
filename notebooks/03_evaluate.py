# %% [markdown]
# # Does routing pay?
#
# This notebook takes your own benchmark, the score of each model on each prompt, and returns a verdict with an interval.
# It compares the router with the baselines that it has to beat. `llm-router-train evaluate --benchmark FILE --out DIR`
# writes all of this, and a page that you can share.

# %%
# %matplotlib inline
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from router.classify.encoder import OnnxEncoder
from router.model_folder.load import find_model_folder
from training.encoder.seen import was_seen
from training.verdict.folder import assess_routing
from training.verdict.plots import plot_curve, plot_dials, plot_differences, plot_regret

folder = Path(tempfile.mkdtemp())
benchmark, shipped = folder / "benchmark.csv", find_model_folder()

# %% [markdown]
# ## A benchmark
#
# Your file has the columns `model,prompt,score,cost_usd`, and `task` if you know it. A score is in [0, 1]. There is one
# row for each model and prompt.
#
# The scores here are **simulated**, so the truth is known. The table shows how often each of four invented models is
# right. The prompts are 1,500 of those that the shipped encoder was not tuned on.

# %%
general, prose = {"large": 0.86, "coder": 0.35, "writer": 0.60, "tiny": 0.45}, ["writing", "rewriting", "roleplay", "advice"]
truth = pd.DataFrame(general, index=["coding", "math", "reasoning", *prose, "translation", "summarization", "extraction"])
truth.loc[["coding", "math", "reasoning"], "coder"] = 0.88
truth.loc[prose, "writer"] = 0.86
truth.loc[["translation", "summarization", "extraction"], "tiny"] = 0.75
usd = {"large": 0.01, "coder": 0.002, "writer": 0.003, "tiny": 0.0002}
truth

# %%
rng, tuning = np.random.default_rng(0), OnnxEncoder.load(shipped / "encoder").record.tuning
labelled = pd.read_csv("../data/prompts.csv", dtype=str)
labelled = labelled[labelled["task"].isin(truth.index) & ~was_seen(labelled["prompt"].tolist(), tuning)]
labelled = labelled.sample(1500, random_state=0)
models = pd.DataFrame({"model": usd.keys(), "cost_usd": usd.values()})
pairs = labelled[["prompt", "task"]].merge(models, how="cross")
right = [truth.at[task, model] for task, model in zip(pairs["task"], pairs["model"], strict=True)]
results = pairs.assign(score=(rng.random(len(pairs)) < right).astype(int))
results["cost_usd"] *= rng.lognormal(0, 0.5, len(results))
results.to_csv(benchmark, index=False)
means = results.groupby("model")[["score", "cost_usd"]].mean()
pd.DataFrame({"score": means["score"], "USD per 1,000": means["cost_usd"] * 1000}).round(2)

# %% [markdown]
# ## The verdict
#
# The router learns from four fifths of the prompts and routes the last fifth. Each fifth is held out in turn. The
# baselines learn from the same four fifths. Intervals are bootstrapped over prompts.

# %%
evaluation = assess_routing(shipped, benchmark, cache=folder / "cache").evaluation
print(evaluation.verdict.sentence)

# %%
rows = [(r.name, r.aiq, evaluation.differences.get(r.name, "")) for r in evaluation.routers]
pd.DataFrame(rows, columns=["router", "AIQ", "lead over it"])

# %% [markdown]
# *AIQ* is quality averaged over the span of cost. The oracle knows every score in advance. No router can reach it,
# especially if chance decides the scores as it does here.
#
# ## Quality against cost
#
# Each curve is one router, from its cheapest to its best setting. Dots are single models.

# %%
plot_curve(evaluation)

# %% [markdown]
# The lead over each baseline, with its interval:

# %%
plot_differences(evaluation)

# %% [markdown]
# ## Regret by task
#
# The regret is the loss against the best model for each prompt. The chart compares the router with the best single
# model.

# %%
plot_regret(evaluation)

# %% [markdown]
# ## The dials
#
# The chart shows the position of every dial setting.

# %%
plot_dials(evaluation)

# %% [markdown]
# ## No gain is possible
#
# We now shuffle the scores of each model among the prompts. Some models are still better than others on average. But a
# prompt no longer predicts which model is best. An honest evaluation must report no savings.

# %%
shuffled = results.copy()
shuffled["score"] = shuffled.groupby("model")["score"].transform(rng.permutation)
shuffled.to_csv(folder / "shuffled.csv", index=False)
without_signal = assess_routing(shipped, folder / "shuffled.csv", cache=folder / "cache").evaluation
print(without_signal.verdict.sentence.split(",")[0])

# %% [markdown]
# ## The claim
#
# The verdict is to route if models differ by task. It is not to route if they do not differ.

# %%
assert evaluation.verdict.route
assert not without_signal.verdict.route
