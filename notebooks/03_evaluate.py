# %% [markdown]
# # Does routing pay?
#
# From a benchmark of one's own (what each model did on each prompt) to a verdict with an interval, beside what a router
# has to beat. `llm-router-train evaluate --benchmark FILE --out DIR` writes all of it, and a page to pass on.

# %%
# %matplotlib inline
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from router.artifacts import find_artifact
from router.encoder import OnnxEncoder
from training.finetune import was_seen
from training.pipeline import evaluate_routing
from training.routing.plots import plot_curve, plot_dials, plot_differences, plot_regret

folder = Path(tempfile.mkdtemp())
benchmark, shipped = folder / "benchmark.csv", find_artifact()

# %% [markdown]
# ## A benchmark
#
# Your file has the columns `model,prompt,score,cost_usd`: score in [0, 1], one row for each model and prompt; `task` where
# you know it. Here the scores are **simulated**, so that the truth is known: the table says how often each of four invented
# models is right. The prompts are those that the shipped encoder was not tuned on.

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
models = pd.DataFrame({"model": usd.keys(), "cost_usd": usd.values()})
asked = labelled[["prompt", "task"]].merge(models, how="cross")
right = [truth.at[task, model] for task, model in zip(asked["task"], asked["model"], strict=True)]
results = asked.assign(score=(rng.random(len(asked)) < right).astype(int))
results["cost_usd"] *= rng.lognormal(0, 0.5, len(results))
results.to_csv(benchmark, index=False)
means = results.groupby("model")[["score", "cost_usd"]].mean()
pd.DataFrame({"score": means["score"], "USD per 1,000": means["cost_usd"] * 1000}).round(2)

# %% [markdown]
# ## The verdict
#
# Each fifth of the prompts is routed by what the other four taught; the baselines learn of the same four. Intervals are
# bootstrapped over prompts.

# %%
judged = evaluate_routing(shipped, benchmark, cache=folder / "cache").evaluation
print(judged.verdict.sentence)

# %%
rows = [(r.name, r.aiq, judged.differences.get(r.name, "")) for r in judged.routers]
pd.DataFrame(rows, columns=["router", "AIQ", "lead over it"])

# %% [markdown]
# *AIQ* is quality averaged over the span of cost. The oracle knows every answer beforehand: nobody reaches it, least of all
# where, as here, chance decides.
#
# ## Quality against cost
#
# The curve of each router, from its cheapest to its best setting; dots are single models.

# %%
plot_curve(judged)

# %% [markdown]
# How sure the lead over each baseline is:

# %%
plot_differences(judged)

# %% [markdown]
# ## Where it loses
#
# Against the best model for each prompt, by task, beside what the best single model loses.

# %%
plot_regret(judged)

# %% [markdown]
# ## The dials
#
# Every way to say what one wants leads to some place on this picture.

# %%
plot_dials(judged)

# %% [markdown]
# ## When nothing can be gained
#
# The same scores, dealt among the prompts at random: what remains is that some models are better than others on average. An
# evaluation that still reported savings by telling prompts apart would be fooling itself.

# %%
shuffled = results.copy()
shuffled["score"] = shuffled.groupby("model")["score"].transform(rng.permutation)
shuffled.to_csv(folder / "shuffled.csv", index=False)
nothing = evaluate_routing(shipped, folder / "shuffled.csv", cache=folder / "cache").evaluation
print(nothing.verdict.sentence.split(",")[0])

# %% [markdown]
# ## The claim
#
# Where models differ by task, routing is told to pay; where they do not, it is told not to.

# %%
assert judged.verdict.route
assert not nothing.verdict.route
