# %% [markdown]
# # Routing a prompt
#
# What `route()` decides, why, what would change it, and what the strategies and the dial do. Everything here runs
# offline, on the shipped model folder, without a key.

# %%
# %matplotlib inline
import pandas as pd

from router import NoCandidateError, Router, route

decision = route("prove that sqrt(2) is irrational")
decision.model, decision.prediction.task, decision.fallbacks[:3]

# %% [markdown]
# The ranking is the answer: the first model is the one to call, the others are the fallback order. `explain()` gives
# every term of it and what would have changed the choice.

# %%
print(decision.explain())

# %% [markdown]
# ## What it hears
#
# A prompt rarely has one task for certain. The classifier gives a probability to each of 14, and a model's expected
# quality is its quality by task weighed with them. So a doubtful prompt is hedged and not forced into a category.

# %%
prompts = {
    "plain": "write a haiku about rain",
    "between two tasks": "explain this regex and make it shorter: ^(a|b)+$",
    "another language": "wie lange muss ein ei kochen",
    "nothing to go by": "asdf qwer zxcv",
}
router = Router.load()
heard = {name: router.predict(prompt) for name, prompt in prompts.items()}
pd.DataFrame(heard.values(), index=heard.keys())[["task", "confidence", "source", "tier"]].round(2)

# %% [markdown]
# Where the classifier is unsure and no keyword rule fits, `source` is `default`: the router says that it does not know,
# weighs all tasks by their probabilities, and never treats no evidence as an easy prompt.

# %%
print(router.route(prompts["nothing to go by"]).reasons[0])

# %% [markdown]
# ## Models by task
#
# What is known of the models: expected quality, and how sure that is. The paler, the wider the standard error. These
# come from public leaderboards; your own measurements take their place (`03_evaluate`).

# %%
from training.plots import plot_profiles

cheap = [model for model in router.profiles if (model.output_usd_per_mtok or 0) <= 1.0]
plot_profiles(cheap, tasks=list(heard["plain"].probabilities))

# %% [markdown]
# ## The dial: quality against cost
#
# One option says what quality is worth: `prefer`, or `cost_per_point` in USD, or `quality_floor`, a share of the best
# candidate's quality.

# %%
asked = "my landlord wont fix the heating what can i do"
dials = [{"prefer": name} for name in ("cheap", "balanced", "quality")]
dials += [{"quality_floor": share} for share in (0.8, 0.9, 0.95, 0.99)]
rows = []
for dial in dials:
    chosen = router.route(asked, **dial)
    score = chosen.scores[chosen.model]
    rows.append((*next(iter(dial.items())), chosen.model, score.quality, 1000 * score.cost_usd))
pd.DataFrame(rows, columns=["dial", "at", "model", "quality", "USD/1,000"]).round(3)

# %% [markdown]
# ## Strategies side by side
#
# The same ten prompts of one user under each strategy, calling nothing: how many models share the work, at which
# expected quality and cost. What draws at random or looks at the load (`dynamic`, `least-busy`) shows what it is for in
# `04_operations`.

# %%
ten = [*prompts.values(), asked, "translate to german: see you on monday", "sum of 3/4 and 2/5?", "fix: print('a'", "tldr: "]
ten += ["who wrote the magic mountain"]
rows = []
strategies = ["contextual", "model-aware", "round-robin", "weighted", "weighted-key", "consistent-hash", "sticky>contextual"]
for name in [*strategies, "contextual>round-robin", "contextual>consistent-hash"]:
    deciding = Router.load(strategy=name)
    chosen = [deciding.route(prompt, key="user-7") for prompt in ten]
    scores = [each.scores[each.model] for each in chosen]
    models = {each.model for each in chosen}
    quality = sum(score.quality for score in scores) / len(ten)
    rows.append((name, len(models), quality, 100 * sum(score.cost_usd for score in scores)))
pd.DataFrame(rows, columns=["strategy", "models", "quality", "USD/1,000"]).round(3)

# %% [markdown]
# ## What may not be chosen
#
# `allowed`, `needs` and `max_cost_usd` exclude models before anything is ranked. If nobody is left, the error says what
# excluded whom and what to change.

# %%
try:
    route(asked, allowed={"gpt-5.5"}, max_cost_usd=0.0001)
except NoCandidateError as error:
    print(error)

# %% [markdown]
# ## The claim
#
# Turning the dial towards quality never lowers the expected quality, and never costs less.

# %%
ladder = [router.route(asked, prefer=name) for name in ("cheap", "balanced", "quality")]
qualities = [each.scores[each.model].quality for each in ladder]
costs = [each.scores[each.model].cost_usd for each in ladder]
assert qualities == sorted(qualities)
assert costs == sorted(costs)
assert heard["nothing to go by"].source == "default"
