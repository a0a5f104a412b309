# %% [markdown]
# # Retraining the classifier on labels of your own
#
# From a CSV file of labelled prompts to a model folder: check the labels, train, and see whether the new folder is
# better than the shipped one, with a task that only you have. Put your own files in place of `prompts` and `benchmark`.

# %%
# %matplotlib inline
import csv
import tempfile
from pathlib import Path

import pandas as pd

from router import Router
from router.artifacts import find_artifact
from router.encoder import OnnxEncoder
from training.finetune import was_seen

shipped, folder = find_artifact(), Path(tempfile.mkdtemp())
prompts, benchmark, model = folder / "prompts.csv", folder / "benchmark.csv", folder / "model"

# %% [markdown]
# ## Labels
#
# In place of a company's labels stand the prompts of `data/prompts.csv` that the shipped encoder was not tuned on: an
# encoder knows the labels that it was tuned on, so that only others can be held out. To them come bookings, a task of
# one's own.

# %%
labelled = pd.read_csv("../data/prompts.csv", dtype=str)
tuning = OnnxEncoder.load(shipped / "encoder").record.tuning
labels = labelled[~was_seen(labelled["prompt"].tolist(), tuning)][["prompt", "task", "group", "language"]]

bookings = pd.read_csv("bookings.csv")["prompt"].tolist()
kept, later = bookings[:60], bookings[60:]
labels = pd.concat([labels, pd.DataFrame({"prompt": kept, "task": "booking", "language": "en"})])
labels["task"].value_counts().to_dict()

# %% [markdown]
# ## Check them first
#
# Labels are wrong more often than one thinks. Two mistakes are planted: a booking labelled `math`, and a prompt that
# occurs twice, with two labels. Both are found among the likely ones, the surest first; what else is found deserves a
# look, too.

# %%
from training.pipeline import check_prompts

planted = pd.DataFrame({"prompt": ["room for 8 with a screen, friday 11am", kept[0]], "task": ["math", "coding"]})
pd.concat([labels, planted]).to_csv(prompts, index=False, quoting=csv.QUOTE_ALL)
given, findings = check_prompts(prompts, encoder=shipped / "encoder", own_tasks=True, cache=folder / "cache")
rows = [(f.row.row, f.problem, f.row.prompt[:24], f.row.task, f.suggested) for f in findings]
found = pd.DataFrame(rows, columns=["row", "problem", "prompt", "label", "looks like"])
found[found["row"] > len(labels) + 1].sort_values(["row", "problem"]).reset_index(drop=True)

# %% [markdown]
# ## Train
#
# On the labels without the planted mistakes. The benchmark is the shipped one, and a measurement of one's own (invented
# here): a small model of the house is as good at bookings as the large ones, for a fraction of the price.

# %%
from training.pipeline import train

labels.to_csv(prompts, index=False, quoting=csv.QUOTE_ALL)
columns = ["model", "task", "score", "n", "cost_usd", "benchmark"]
measured = [
    ("house-3b", "booking", 0.96, 200, 0.00002, "our bookings"),
    ("gemini-3-flash-preview", "booking", 0.95, 200, 0.0008, "our bookings"),
    ("gpt-5.5", "booking", 0.97, 200, 0.004, "our bookings"),
    ("house-3b", "writing", 0.35, 200, 0.00004, "our letters"),
    ("gemini-3-flash-preview", "writing", 0.88, 200, 0.0015, "our letters"),
    ("gpt-5.5", "writing", 0.90, 200, 0.006, "our letters"),
]
published = pd.read_csv("../data/benchmark.csv", dtype=str)
pd.concat([published, pd.DataFrame(measured, columns=columns)]).to_csv(benchmark, index=False)

training = train(prompts, benchmark, model, encoder=shipped / "encoder", own_tasks=True, cache=folder / "cache")
print(f"{len(training.profiles)} models, labels: {', '.join(training.manifest.labels)}")
rows = [(q.name, q.n, q.accuracy, q.macro_f1) for q in training.qualities]
pd.DataFrame(rows, columns=["held out", "n", "accuracy", "macro-F1"])

# %% [markdown]
# Intervals are bootstrapped over the prompts (95 %, seed 0). A folder tells how it was made and how good it is in its
# own `report.md`; it is what `Router.load(model)` or `$LLM_ROUTER_MODEL` takes.
#
# ## Against the shipped folder
#
# Judged on conversations that neither has seen (`data/conversations.csv`, each turn of a user in its context), and on
# the bookings kept aside. The shipped folder learnt from ten times as many prompts, but has never heard of bookings.

# %%
from training.datasets import read_conversations
from training.pipeline import evaluate_folder

talks = read_conversations(Path("../data/conversations.csv"))
evaluations = {name: evaluate_folder(path, talks, train_on=None)[0] for name, path in (("shipped", shipped), ("own", model))}
mine, theirs = Router.load(model), Router.load(shipped)
told = {"own": [mine.predict(text).task for text in later], "shipped": [theirs.predict(text).task for text in later]}
rows = [(e.n, e.qualities[0].accuracy, e.calibration_error, told[name].count("booking")) for name, e in evaluations.items()]
pd.DataFrame(rows, index=evaluations.keys(), columns=["turns", "accuracy", "calibration error", "bookings told, of 20"])

# %% [markdown]
# ## Where it errs
#
# Rows are labels, columns what was told. Dark squares off the diagonal are pairs of tasks that want clearer
# definitions, or more labels.

# %%
from training.plots import plot_calibration, plot_confusion, plot_risk_coverage

plot_confusion(evaluations["own"])

# %% [markdown]
# ## Whether it knows when it errs
#
# On the diagonal, a confidence of 0.8 is right in 8 of 10 cases. Below, the accuracy of the surest predictions: what is
# gained by asking a person, or a large model, where the router is unsure.

# %%
plot_calibration(evaluations["own"])

# %%
plot_risk_coverage(evaluations["own"])

# %% [markdown]
# ## What it changes
#
# Among the models that were measured here, a booking goes to the house's now. `balanced` means the knee of a folder's own
# curve, and with a cheaper model at its end that has moved: to compare folders, a price for a point of quality is named.

# %%
asked = ["reserve a desk for our guest on the 8th and 9th", "prove that sqrt(2) is irrational", "write a haiku about rain"]
ours = {"house-3b", "gemini-3-flash-preview", "gpt-5.5"}
worth = theirs.presets["balanced"].usd_per_point
routed = {
    "shipped": [theirs.route(prompt, cost_per_point=worth, allowed=ours - {"house-3b"}) for prompt in asked],
    "own": [mine.route(prompt, cost_per_point=worth, allowed=ours) for prompt in asked],
}
cells = {name: [f"{d.prediction.task}: {d.model}" for d in found] for name, found in routed.items()}
pd.DataFrame(cells, index=[prompt[:20] for prompt in asked])

# %% [markdown]
# ## The claim
#
# Sixty labels teach a task of one's own. With a tenth of the shipped folder's labels of the other tasks, those are told
# a little worse; appended to all of `data/prompts.csv` (minutes) they would not be.

# %%
assert told["own"].count("booking") >= 16
assert "booking" not in told["shipped"]
assert [decision.model == "house-3b" for decision in routed["own"]] == [True, False, False]
loss = evaluations["shipped"].qualities[0].accuracy.value - evaluations["own"].qualities[0].accuracy.value
assert loss < 0.08
