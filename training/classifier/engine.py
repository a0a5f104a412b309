"""Where a training encodes its texts and fits its logistic regressions: on this machine, unless another engine is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from joblib import Parallel, delayed

from router.types import Encoder
from training.classifier.features import encode_in_threads
from training.classifier.linear import SOLVERS, Design, Fit, Part, fit_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class FitJob:
    """Logistic regressions to fit on the same rows of one part.

    Attributes:
        part: The part of the features.
        rows: Numbers of the rows.
        cs: Inverse strengths of regularisation, ascending.
    """

    part: Part
    rows: NDArray[np.int64]
    cs: Sequence[float]


# Takes jobs, and gives for each of them its fits by C, in the order of the jobs.
Fitter = Callable[[Sequence[FitJob]], Iterable[list[Fit]]]


class Engine(Protocol):
    """Does the two long steps of a training."""

    def encode(self, texts: Sequence[str], encoder: Encoder, /) -> Iterable[NDArray[np.float32]]:
        """Return the vector of each text, in the order of the texts, as they get ready."""
        ...

    def load(self, designs: Mapping[Part, Design], targets: NDArray[np.int64], n_labels: int, /) -> Fitter:
        """Take the rows to fit on, and return what fits on them.

        Args:
            designs: The design matrix of each part, with n rows.
            targets: Number of each row's label, shape (n,).
            n_labels: Number of labels.
        """
        ...


@dataclass(frozen=True, slots=True)
class LocalEngine:
    """Encodes in threads and fits in processes of this machine.

    Attributes:
        jobs: Number of processes that fit. -1: one for each processor.
    """

    jobs: int = -1

    def encode(self, texts: Sequence[str], encoder: Encoder, /) -> Iterable[NDArray[np.float32]]:
        """Return the vector of each text, see `Engine`."""
        return encode_in_threads(texts, encoder)

    def load(self, designs: Mapping[Part, Design], targets: NDArray[np.int64], n_labels: int, /) -> Fitter:
        """Return what fits with scikit-learn, see `Engine`."""

        def fit(jobs: Sequence[FitJob]) -> Iterable[list[Fit]]:
            todo = (
                delayed(fit_rows)(designs[job.part].matrix, job.rows, targets, job.cs, n_labels, solver=SOLVERS[job.part])
                for job in jobs
            )
            fits: Iterable[list[Fit]] = Parallel(n_jobs=self.jobs, return_as="generator")(todo)
            return fits

        return fit
