"""A data set of Ray comes in, the same rows with their decisions go out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from router.core import Router
from router.options import RouteKeywords, RouteOptions, takes_options

if TYPE_CHECKING:
    import ray.data


@takes_options
def route_dataset(
    dataset: ray.data.Dataset,
    *,
    column: str = "prompt",
    prefix: str = "",
    router: Router | None = None,
    workers: int = 1,
    **options: Unpack[RouteKeywords],
) -> ray.data.Dataset:
    """Return the data set with the columns of `Decided`. It is lazy: Ray decides when the rows are asked for.

    The decisions are those of `Router.route_many`. A faulty row gets an `error` instead.

    Args:
        dataset: The rows.
        column: Column of the prompts: texts, or lists of chat messages. Texts in a column named `messages` are JSON.
        prefix: Start of the names of the added columns.
        router: Decides. Each worker gets a copy. None: that of the shipped model folder.
        workers: Number of actors, above 0. Each holds one processor and one router.
        **options: See `RouteOptions`. The same for every prompt.

    Raises:
        InputError: If an option is invalid, or the strategy needs live state or the prompts before.
    """
    import ray
    from ray.data import ActorPoolStrategy

    from router.batch.decided import PromptDecider

    router, chosen = router or Router.load(), RouteOptions.of(options)
    PromptDecider(router, chosen)  # raises here what every worker would raise
    return dataset.map_batches(
        _TableWorker,
        fn_constructor_args=(ray.put(router), chosen, column, prefix),
        compute=ActorPoolStrategy(size=workers),
        batch_format="pyarrow",
    )


class _TableWorker:
    """An actor with a copy of a router.

    Args:
        router: Reference to the router.
        options: The options of every decision.
        column: Column of the prompts.
        prefix: Start of the names of the added columns.
    """

    def __init__(self, router: ray.ObjectRef[Router], options: RouteOptions, column: str, prefix: str) -> None:
        import ray

        from router.batch.decided import PromptDecider

        self._decider = PromptDecider(ray.get(router), options)
        self._column, self._prefix = column, prefix

    def __call__(self, table: Any) -> Any:
        """Return a table with the columns of the decisions."""
        from router.batch.blocks import check_added
        from router.batch.messages import find_prompts
        from router.batch.parquet_rows import ParquetRows

        check_added(table.column_names, self._prefix)
        prompts = find_prompts(table.column(self._column).to_pylist(), self._column)
        return ParquetRows(table).add(self._decider.decide(prompts).add_prefix(self._prefix))
