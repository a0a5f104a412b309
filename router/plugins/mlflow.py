"""A model folder in, a model of MLflow out, which can be registered and served. It answers prompts with decisions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Unpack

from mlflow import pyfunc
from mlflow.models import ModelSignature
from mlflow.models.model import ModelInfo
from mlflow.types.schema import Array, ColSpec, DataType, ParamSchema, ParamSpec, Schema

from router import __version__
from router.core import Router
from router.model_folder.load import find_model_folder, load_model_folder
from router.options import RouteKeywords, RouteOptions

_FOLDER, _HASH, _OPTIONS = "model_folder", "sha256", "options"
_TEXT, _NUMBER = DataType.string, DataType.double
_SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec(_TEXT, "prompt")]),
    outputs=Schema(
        [
            ColSpec(_TEXT, "model"),
            ColSpec(Array(_TEXT), "fallbacks"),
            ColSpec(_TEXT, "task", required=False),
            ColSpec(_NUMBER, "confidence"),
            ColSpec(_NUMBER, "quality"),
            ColSpec(_NUMBER, "cost_usd", required=False),
        ]
    ),
    params=ParamSchema([ParamSpec("prefer", _TEXT, "")]),
)


class RoutingModel(pyfunc.PythonModel):
    """A router as a model of MLflow. Its input has a column `prompt`. `log_model` makes one.

    The parameter `prefer` sets the dial of a request. Without it, the options of `log_model` count.
    """

    def load_context(self, context: pyfunc.PythonModelContext) -> None:
        """Load the model folder. Its hash must be the one that was logged.

        Raises:
            ModelFolderError: If the folder is damaged or changed.
        """
        config = context.model_config
        self._router = Router.load(context.artifacts[_FOLDER], sha256=config[_HASH], **config[_OPTIONS])

    # MLflow warns if `model_input` has no type, and takes any other type for a schema. It brings pandas itself.
    def predict(
        self,
        context: pyfunc.PythonModelContext,
        model_input: pyfunc.pandas.DataFrame,
        params: Mapping[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """Return a decision for each prompt, as plain data.

        Args:
            context: Not used.
            model_input: A table with a column `prompt`.
            params: `prefer`, as in `RouteOptions`.
        """
        del context
        prefer = (params or {}).get("prefer")
        options: RouteKeywords = {"prefer": prefer} if prefer else {}
        decisions = self._router.route_many([str(prompt) for prompt in model_input["prompt"]], **options)
        return [
            {
                "model": decision.model,
                "fallbacks": list(decision.fallbacks),
                "task": decision.task,
                "confidence": decision.prediction.confidence,
                "quality": decision.scores[decision.model].quality,
                "cost_usd": decision.scores[decision.model].cost_usd,
            }
            for decision in decisions
        ]


def log_model(
    path: str | Path | None = None,
    *,
    name: str = "router",
    registered_model_name: str | None = None,
    requirement: str = f"contextual-llm-router=={__version__}",
    **options: Unpack[RouteKeywords],
) -> ModelInfo:
    """Log a model folder to the active run of MLflow, or a new one, and register it if a name is given.

    The logged model has the folder and code that loads it. It has no pickle and no prompt of yours.

    Args:
        path: The model folder. None: the same one as `Router.load`.
        name: Name of the logged model.
        registered_model_name: Name in the model registry. None: it is not registered.
        requirement: How `pip` gets this package where the model is served, such as a wheel or a Git address.
        **options: Defaults of every decision. See `RouteOptions`.

    Raises:
        ModelFolderError: If the folder is damaged.
        InputError: If an option is unknown.
    """
    folder = Path(path) if path is not None else find_model_folder()
    loaded = load_model_folder(folder)
    Router.from_model_folder(loaded, **options)
    given = RouteOptions.of(options).given().items()
    return pyfunc.log_model(
        name=name,
        python_model=str(Path(__file__).with_name("mlflow_model.py")),
        artifacts={_FOLDER: str(folder.resolve())},
        model_config={_HASH: loaded.sha256, _OPTIONS: {name: _make_plain(value) for name, value in given}},
        signature=_SIGNATURE,
        input_example=[{"prompt": "write a haiku about rain"}],
        pip_requirements=[requirement],
        metadata={"model_folder_sha256": loaded.sha256},
        registered_model_name=registered_model_name,
    )


def _make_plain(value: object) -> object:
    """Return a value of an option as one that YAML has. A collection of names becomes a list."""
    return sorted(value) if isinstance(value, Collection) and not isinstance(value, str) else value
