"""The router as a part of other libraries. Each file needs the extra of its library.

- `langchain`: a chat model, and a middleware that chooses the model of each step of an agent.
- `llama_index`: an LLM.
- `litellm`: a custom routing strategy.
- `mlflow`: a model folder, logged, registered and served.

The estimator for scikit-learn is `training.estimator.TaskClassifier`, because it trains.
"""
