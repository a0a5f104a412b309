# %% [markdown]
# # Routing a prompt
#
# This notebook shows how `route()` decides, how to read its explanation, and how to change its choice with the dial and
# the strategies. Everything runs offline with the shipped model folder. You need no key.

# %%
# %matplotlib inline
import pandas as pd

from router import NoCandidateError, Router, route

decision = route("prove that sqrt(2) is irrational")
decision.model, decision.task, decision.fallbacks[:3]

# %% [markdown]
# The answer is a ranking. Call the first model. The others are the fallback order. `explain()` shows every term of the
# scores. It also shows which changes would lead to another choice.

# %%
print(decision.explain())

# %% [markdown]
# ## Task probabilities
#
# The task of a prompt is rarely certain. The classifier predicts a probability for each of 14 tasks. A model's expected
# quality is the mean of its qualities by task, weighted with these probabilities. So an ambiguous prompt is not forced
# into one category.

# %%
prompts = {
    "plain": "write a haiku about rain",
    "between two tasks": "explain this regex and make it shorter: ^(a|b)+$",
    "another language": "wie lange muss ein ei kochen",
    "no request": "asdf qwer zxcv",
}
router = Router.load()
predictions = {name: router.predict(prompt) for name, prompt in prompts.items()}
pd.DataFrame(predictions.values(), index=predictions.keys())[["task", "confidence", "source", "tier"]].round(2)

# %% [markdown]
# `source` is `default` if the classifier is unsure and no keyword rule matches. The router then says that it does not
# know the task. It weights all tasks with their probabilities. It never takes missing evidence for an easy prompt.

# %%
print(router.route(prompts["no request"]).reasons[0])

# %% [markdown]
# ## Models by task
#
# The chart shows the expected quality of each model by task. Pale cells have a wide standard error. The figures come
# from public leaderboards. Your own measurements can replace them (`03_evaluate`).

# %%
from training.evaluation.plots import plot_profiles

cheap = [model for model in router.profiles if (model.output_usd_per_mtok or 0) <= 1.0]
plot_profiles(cheap, tasks=list(predictions["plain"].probabilities))

# %% [markdown]
# ## The dial: quality against cost
#
# One option sets the balance of quality and cost. It is `prefer`, `usd_per_point` (in USD) or `quality_floor` (a share
# of the best candidate's quality).

# %%
question = "my landlord wont fix the heating what can i do"
dials = [{"prefer": name} for name in ("cheap", "balanced", "quality")]
dials += [{"quality_floor": share} for share in (0.8, 0.9, 0.95, 0.99)]
rows = []
for dial in dials:
    chosen = router.route(question, **dial)
    score = chosen.scores[chosen.model]
    rows.append((*next(iter(dial.items())), chosen.model, score.quality, 1000 * score.cost_usd))
pd.DataFrame(rows, columns=["dial", "value", "model", "quality", "USD/1,000"]).round(3)

# %% [markdown]
# ## Strategies side by side
#
# Each strategy routes the same ten prompts of one user. Nothing is called. The table shows how many models share the
# work, and their expected quality and cost. Strategies that draw at random or use the load (`dynamic`, `least-busy`)
# follow in `04_operations`.

# %%
ten = [*prompts.values(), question, "translate to german: see you on monday", "sum of 3/4 and 2/5?", "fix: print('a'"]
ten += ["tldr: ", "who wrote the magic mountain"]
rows = []
strategies = ["contextual", "model-aware", "round-robin", "weighted", "weighted-key", "consistent-hash", "sticky>contextual"]
for name in [*strategies, "contextual>round-robin", "contextual>consistent-hash"]:
    with_strategy = Router.load(strategy=name)
    chosen = [with_strategy.route(prompt, key="user-7") for prompt in ten]
    scores = [decision.scores[decision.model] for decision in chosen]
    models = {decision.model for decision in chosen}
    quality = sum(score.quality for score in scores) / len(ten)
    rows.append((name, len(models), quality, 100 * sum(score.cost_usd for score in scores)))
pd.DataFrame(rows, columns=["strategy", "models", "quality", "USD/1,000"]).round(3)

# %% [markdown]
# ## Excluded models
#
# `allowed`, `needs` and `max_cost_usd` exclude models before the ranking. If no model is left, the error gives the reason
# for each model and the remedy.

# %%
try:
    route(question, allowed={"gpt-5.5"}, max_cost_usd=0.0001)
except NoCandidateError as error:
    print(error)

# %% [markdown]
# ## The claim
#
# A dial closer to quality never lowers the expected quality, and never lowers the cost.

# %%
ladder = [router.route(question, prefer=name) for name in ("cheap", "balanced", "quality")]
qualities = [decision.scores[decision.model].quality for decision in ladder]
costs = [decision.scores[decision.model].cost_usd for decision in ladder]
assert qualities == sorted(qualities)
assert costs == sorted(costs)
assert predictions["no request"].source == "default"
