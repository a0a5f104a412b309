# %% [markdown]
# # Retraining the classifier on your own labels
#
# This notebook turns a CSV file of labelled prompts into a model folder. You check the labels, train, and compare the
# new folder with the shipped one. One task exists only in your file. Replace `prompts` and `benchmark` with your own
# files.

# %%
# %matplotlib inline
import csv
import tempfile
from pathlib import Path

import pandas as pd

from router import Router
from router.classify.encoder import OnnxEncoder
from router.model_folder.load import find_model_folder
from training.encoder.seen import was_seen

shipped, folder = find_model_folder(), Path(tempfile.mkdtemp())
prompts, benchmark, model = folder / "prompts.csv", folder / "benchmark.csv", folder / "model"

# %% [markdown]
# ## Labels
#
# We need labels that play the role of a company's own. We take the prompts of `data/prompts.csv` that the shipped
# encoder was not tuned on. An encoder knows the labels from its tuning, so only other prompts can be held out. We add
# bookings as a new task.

# %%
labelled = pd.read_csv("../data/prompts.csv", dtype=str)
tuning = OnnxEncoder.load(shipped / "encoder").record.tuning
labels = labelled[~was_seen(labelled["prompt"].tolist(), tuning)][["prompt", "task", "group", "language"]]
labels = labels.sample(2000, random_state=0)

bookings = pd.read_csv("bookings.csv")["prompt"].tolist()
to_train, held_out = bookings[:60], bookings[60:]
labels = pd.concat([labels, pd.DataFrame({"prompt": to_train, "task": "booking", "language": "en"})])
labels["task"].value_counts().to_dict()

# %% [markdown]
# ## Check them first
#
# Labels are wrong more often than you expect. We add two mistakes: a booking labelled `math`, and a prompt that occurs
# twice with two labels. The check finds both. Look at its other findings too.

# %%
from training.evaluation.check import check_prompts

mistakes = pd.DataFrame({"prompt": ["room for 8 with a screen, friday 11am", to_train[0]], "task": ["math", "coding"]})
pd.concat([labels, mistakes]).to_csv(prompts, index=False, quoting=csv.QUOTE_ALL)
given, findings = check_prompts(prompts, encoder=shipped / "encoder", own_tasks=True, cache=folder / "cache")
rows = [(f.row.row, f.problem, f.row.prompt[:24], f.row.task, f.suggested) for f in findings]
found = pd.DataFrame(rows, columns=["row", "problem", "prompt", "label", "looks like"])
found[found["row"] > len(labels) + 1].sort_values(["row", "problem"]).reset_index(drop=True)

# %% [markdown]
# ## Train
#
# We train on the labels without the added mistakes. The benchmark is the shipped one plus our own measurements, which
# are invented here. Our small model is as good at bookings as the large models, at a fraction of the price.

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
# Intervals are bootstrapped over the prompts (95 %, seed 0). The folder's `report.md` describes its training and its
# scores. `Router.load(model)` and `$LLM_ROUTER_MODEL` accept the folder.
#
# ## Against the shipped folder
#
# Both folders are evaluated on conversations that neither has seen (`data/conversations.csv`, each user turn in its
# context), and on the held-out bookings. The shipped folder learned from ten times as many prompts, but it has never
# seen a booking.

# %%
from training.data.conversations import read_conversations
from training.evaluation.folder import evaluate_folder

talks = read_conversations(Path("../data/conversations.csv"))
evaluations = {name: evaluate_folder(path, talks, train_on=None)[0] for name, path in (("shipped", shipped), ("own", model))}
mine, theirs = Router.load(model), Router.load(shipped)
predicted = {name: [r.predict(text).task for text in held_out] for name, r in (("shipped", theirs), ("own", mine))}
hits = {name: tasks.count("booking") for name, tasks in predicted.items()}
rows = [(e.n, e.qualities[0].accuracy, e.calibration_error, hits[name]) for name, e in evaluations.items()]
pd.DataFrame(rows, index=evaluations.keys(), columns=["turns", "accuracy", "calibration error", "bookings found, of 20"])

# %% [markdown]
# ## Its mistakes
#
# Rows are labels, columns are predictions. Dark squares off the diagonal are pairs of tasks. They need clearer
# definitions or more labels.

# %%
from training.evaluation.plots import plot_calibration, plot_confusion, plot_risk_coverage

plot_confusion(evaluations["own"])

# %% [markdown]
# ## Does its confidence match its accuracy?
#
# On the diagonal, a confidence of 0.8 is right in 8 of 10 cases. The second chart shows the accuracy of the most confident
# predictions. So you see the gain if a person or a large model handles the unsure prompts.

# %%
plot_calibration(evaluations["own"])

# %%
plot_risk_coverage(evaluations["own"])

# %% [markdown]
# ## Changed decisions
#
# Among the models that we measured, a booking now goes to our own model. `balanced` means the knee of the folder's own
# curve. A cheaper model at the end of the curve moved the knee. So we compare the folders at the same price of a point.

# %%
questions = ["reserve the interview room for the whole of next week", "prove that sqrt(2) is irrational"]
questions += ["write a haiku about rain"]
ours = {"house-3b", "gemini-3-flash-preview", "gpt-5.5"}
worth = theirs.presets["balanced"].usd_per_point
routed = {
    "shipped": [theirs.route(prompt, usd_per_point=worth, allowed=ours - {"house-3b"}) for prompt in questions],
    "own": [mine.route(prompt, usd_per_point=worth, allowed=ours) for prompt in questions],
}
cells = {name: [f"{d.task}: {d.model}" for d in decisions] for name, decisions in routed.items()}
pd.DataFrame(cells, index=[prompt[:20] for prompt in questions])

# %% [markdown]
# ## The claim
#
# Sixty labels are enough for a new task. Here the other tasks have only a tenth of the shipped folder's labels, so their
# accuracy is slightly lower. Append your labels to all of `data/prompts.csv` to avoid this (training takes minutes).

# %%
assert hits["own"] >= 16
assert hits["shipped"] == 0
assert [decision.model == "house-3b" for decision in routed["own"]] == [True, False, False]
loss = evaluations["shipped"].qualities[0].accuracy.value - evaluations["own"].qualities[0].accuracy.value
assert loss < 0.08
