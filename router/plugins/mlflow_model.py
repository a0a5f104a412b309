"""The model that MLflow runs when it loads a logged folder. It is code, so the folder has no pickle."""

from mlflow.models import set_model

from router.plugins.mlflow import RoutingModel

set_model(RoutingModel())
