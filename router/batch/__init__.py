"""Millions of prompts in files come in, the same rows with their decisions go out, on all processors or on a cluster."""

from router.batch.dataset import route_dataset

__all__ = ["route_dataset"]
