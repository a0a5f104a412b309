"""Two CSV files in, a model folder for the router out, and reports about it.

- `pipeline`: Train a model folder from labelled prompts and benchmark results.
- `data`: Read CSV files.
- `classifier`: Fit the task classifier.
- `encoder`: Convert, fine-tune and distil encoders.
- `quality`: Learn how good and how expensive each model is.
- `evaluation`: Score classifiers on held-out and on other prompts.
- `verdict`: Assess whether routing pays.
- `monitor`: Compare recent prompts with those of the training.
- `cli`: The command `llm-router-train`.
"""
