"""A sentence-transformers model and labelled prompts in, a fine-tuned model out."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from router.classify.encoder_record import TuningRecord
from training.classifier.outliers import make_outliers, random_labels
from training.data.prompts import PromptSet
from training.encoder.batches import draw_batches, pad, tokenize
from training.encoder.loss import Objective, tuning_loss
from training.encoder.optimizer import make_optimizer
from training.encoder.seen import hold_out, record_seen
from training.encoder.source_model import encoder_layers, keep_layers, load_source_model
from training.progress import Steps

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Without `epochs` in the recipe, a run has at least 3 epochs. It gets more, up to the second number, to reach so many steps.
_LEAST_STEPS, _MOST_EPOCHS = 400, 20

# Gradients with a larger norm are scaled down to this one.
_MAX_NORM = 1.0

# Number of steps after which the state is saved. An interruption loses at most these.
_SAVE_EVERY = 200

_EVALUATION_BATCH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneRecipe:
    """The settings of a tuning run.

    Attributes:
        layers: Number of the encoder's first layers to keep. None: all.
        objective: `cross-entropy` through a linear head, supervised `contrastive` loss (Khosla et al., 2020,
            arXiv 2004.11362, equation 2), or `both`.
        epochs: Number of passes over the prompts. None: 3, or more if there are few prompts, to reach 400 steps.
        batch: Number of texts in a step.
        learning_rate: Highest learning rate of the encoder. That of the head is ten times as high.
        max_tokens: Longest input in tokens. A longer text keeps its head and its tail, as at runtime.
        seed: Seed of every random choice.
    """

    layers: int | None = None
    objective: Objective = "cross-entropy"
    epochs: int | None = None
    batch: int = 16
    learning_rate: float = 6e-5
    max_tokens: int = 128
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetunedEncoder:
    """A tuned encoder.

    Attributes:
        folder: Folder of the sentence-transformers model of the best epoch.
        record: The prompts and the settings of the tuning.
        log_loss: Log-loss on the held-out prompts after each epoch.
        accuracy: Accuracy of the head on the held-out prompts after each epoch.
        held_out: Number of held-out prompts.
        notes: Sentences for the reader about the file of prompts.
    """

    folder: Path
    record: TuningRecord
    log_loss: Sequence[float]
    accuracy: Sequence[float]
    held_out: int
    notes: Sequence[str] = ()


def finetune(
    name_or_path: str, prompts: PromptSet, scratch: Path, *, recipe: FinetuneRecipe | None = None, progress: Steps = iter
) -> FinetunedEncoder:
    """Tune a sentence-transformers model on labelled prompts. Keep the epoch that is best on held-out prompts.

    A tenth of the prompts is held out, or more if there are few. The run ends early when an epoch is no better than the one
    before. It uses a GPU if there is one.

    The same inputs on the same machine give the same weights, even after an interruption. If `scratch` holds the state of a
    run with the same prompts and recipe, that run continues.

    Args:
        name_or_path: A name on the Hugging Face hub or a local folder.
        prompts: Labelled prompts, at least five of each task.
        scratch: Folder for the state of the run and for the tuned model.
        recipe: The settings. None: the defaults.
        progress: Wraps the numbers of the remaining steps.

    Raises:
        EncoderError: If the model cannot be loaded, or has fewer layers than the recipe keeps.
    """
    run = _Run(name_or_path, prompts, scratch, recipe or FinetuneRecipe())
    for step in progress(range(run.done, run.steps)):
        if run.stopped:
            break
        run.take_step(step)
    return run.finish()


@dataclass
class _State:
    """The progress of a run, which survives an interruption: steps done, and figures after each epoch."""

    done: int = 0
    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """The texts of a run. The prompts come first, then the outliers.

    Attributes:
        texts: The texts.
        labels: The tasks, in alphabetical order.
        targets: Number of each prompt's task. The outliers have none.
        held_out: Numbers of the held-out prompts.
        kept: Numbers of the other prompts.
        taught: Numbers of the texts to tune on: the kept prompts and all outliers.
    """

    texts: list[str]
    labels: list[str]
    targets: NDArray[np.int64]
    held_out: NDArray[np.int64]
    kept: NDArray[np.int64]
    taught: NDArray[np.int64]


def _make_rows(prompts: PromptSet, *, seed: int) -> _Rows:
    labels = sorted({row.task for row in prompts.rows})
    held_out = hold_out(prompts, seed=seed)
    kept = np.flatnonzero(~held_out)
    n = len(prompts.rows)
    outliers = make_outliers(n, seed=seed)
    return _Rows(
        texts=[*(row.prompt for row in prompts.rows), *outliers],
        labels=labels,
        targets=np.array([labels.index(row.task) for row in prompts.rows]),
        held_out=np.flatnonzero(held_out),
        kept=kept,
        taught=np.concatenate([kept, n + np.arange(len(outliers))]),
    )


class _Run:
    """One tuning run. A step depends only on the state before it and on its own number, so a run can be interrupted."""

    def __init__(self, name_or_path: str, prompts: PromptSet, scratch: Path, recipe: FinetuneRecipe) -> None:
        import torch

        self._torch, self._recipe, self._prompts, self._scratch = torch, recipe, prompts, scratch
        self._rows = _make_rows(prompts, seed=recipe.seed)
        self._per_epoch = math.ceil(len(self._rows.taught) / recipe.batch)
        epochs = recipe.epochs or min(max(3, math.ceil(_LEAST_STEPS / self._per_epoch)), _MOST_EPOCHS)
        self.steps = epochs * self._per_epoch
        torch.manual_seed(recipe.seed)  # for the random weights of the head
        self._model = load_source_model(name_or_path, purpose="tuning an encoder")
        keep_layers(self._model, recipe.layers, name_or_path)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._head = torch.nn.Linear(self._model[0].auto_model.config.hidden_size, len(self._rows.labels))
        self._model.to(self._device)
        self._head.to(self._device)
        self._optimizer, self._schedule = make_optimizer(self._model, self._head, recipe.learning_rate, self.steps)
        self._ids = tokenize(self._model.tokenizer, self._rows.texts, recipe.max_tokens)
        # The state of another run in the same folder must not be loaded.
        self._key = hashlib.sha256(
            repr((name_or_path, prompts.sha256, asdict(recipe), epochs, torch.__version__)).encode()
        ).hexdigest()
        self._state = self._resume()

    @property
    def done(self) -> int:
        """Number of steps done."""
        return self._state.done

    @property
    def stopped(self) -> bool:
        """Whether the last epoch was no better on the held-out prompts than the epoch before."""
        losses = self._state.losses
        return len(losses) > 1 and losses[-1] >= losses[-2] and self.done % self._per_epoch == 0

    def take_step(self, step: int) -> None:
        """Update the weights on one batch. Evaluate and save at the end of an epoch."""
        torch = self._torch
        torch.manual_seed(self._recipe.seed * 1_000_003 + step)  # dropout is the same whether the run was interrupted or not
        epoch, place = divmod(step, self._per_epoch)
        # Drawn again in each step, so that the state of a run needs no position in a list of batches.
        batches = draw_batches(
            self._rows.taught.tolist(), self._ids, self._recipe.batch, seed=self._recipe.seed, epoch=epoch
        )
        rows = batches[place]
        self._model.train()
        targets = torch.tensor(self._draw_targets(rows, step), device=self._device)
        loss = tuning_loss(self._recipe.objective, self._head, self._pool(rows), targets)
        self._optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([*self._model.parameters(), *self._head.parameters()], _MAX_NORM)
        self._optimizer.step()
        self._schedule.step()
        self._state.done = step + 1
        ended = place + 1 == self._per_epoch
        if ended:
            self._close_epoch()
        if ended or self.done % _SAVE_EVERY == 0:
            self._save()

    def finish(self) -> FinetunedEncoder:
        """Return the model of the best epoch, with its record."""
        state, best = self._state, int(np.argmin(self._state.losses))
        kept = [self._rows.texts[i] for i in self._rows.kept]
        return FinetunedEncoder(
            folder=self._best,
            record=TuningRecord(
                prompts_sha256=self._prompts.sha256,
                rows=len(kept),
                objective=self._recipe.objective,
                layers=len(encoder_layers(self._model)),
                epochs=best + 1,
                seed=self._recipe.seed,
                seen=record_seen(kept),
            ),
            log_loss=state.losses,
            accuracy=state.accuracies,
            held_out=len(self._rows.held_out),
            notes=self._prompts.notes,
        )

    @property
    def _best(self) -> Path:
        return self._scratch / "best"

    def _draw_targets(self, rows: Sequence[int], step: int) -> list[int]:
        """Return the targets of some rows. Outliers get another random target in each step."""
        targets, n_labels = self._rows.targets, len(self._rows.labels)
        drawn = random_labels(n_labels, n_labels, seed=f"{self._recipe.seed} {step}")
        return [int(targets[row]) if row < len(targets) else drawn[row % n_labels] for row in rows]

    def _pool(self, rows: Sequence[int]) -> Any:
        """Return sentence vectors as the model pools them, not scaled to length one: shape (len(rows), dim)."""
        features = pad([self._ids[row] for row in rows], self._model.tokenizer.model_input_names, self._device)
        for module in list(self._model)[:2]:  # the third one would scale to length one, and the head is better without
            features = module(features)
        return features["sentence_embedding"]

    def _close_epoch(self) -> None:
        """Score the epoch on the held-out prompts, and keep the model if it is the best so far."""
        torch, rows = self._torch, self._rows.held_out.tolist()
        self._model.eval()
        with torch.no_grad():
            logits = torch.cat(
                [self._head(self._pool(rows[i : i + _EVALUATION_BATCH])) for i in range(0, len(rows), _EVALUATION_BATCH)]
            )
        targets = torch.tensor(self._rows.targets[self._rows.held_out], device=self._device)
        self._state.losses.append(float(torch.nn.functional.cross_entropy(logits, targets)))
        self._state.accuracies.append(float((logits.argmax(dim=1) == targets).float().mean()))
        if self._state.losses[-1] == min(self._state.losses):
            self._model.save(str(self._best))  # the weights go on changing, so the best ones are kept on disk

    def _save(self) -> None:
        """Save the state, from which `_resume` continues."""
        self._scratch.mkdir(parents=True, exist_ok=True)
        # Renamed at the end, because an interrupted write would leave a file that cannot be read.
        written = self._scratch / "state.new"
        self._torch.save(
            {
                "key": self._key,
                "state": asdict(self._state),
                "model": self._model.state_dict(),
                "head": self._head.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "schedule": self._schedule.state_dict(),
            },
            written,
        )
        written.replace(self._scratch / "state.pt")

    def _resume(self) -> _State:
        """Load the saved state of this run. Return a new state if there is none."""
        file = self._scratch / "state.pt"
        if not file.is_file():
            return _State()
        saved = self._torch.load(file, map_location=self._device, weights_only=True)
        if saved["key"] != self._key:
            return _State()
        for part in ("model", "head", "optimizer", "schedule"):
            getattr(self, f"_{part}").load_state_dict(saved[part])
        return _State(**saved["state"])
