"""One tuning run of an encoder: a step at a time, so that it can be interrupted and continued."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from router.classify.encoder_record import TuningRecord
from training.encoder.batches import draw_batches, pool, tokenize
from training.encoder.loss import distance_loss, tuning_loss
from training.encoder.optimizer import make_optimizer
from training.encoder.recipe import FinetuneRecipe
from training.encoder.seen import record_seen
from training.encoder.source_model import (
    encoder_layers,
    find_prefix,
    hash_weights,
    keep_layers,
    limit_tokens,
    load_source_model,
    set_prefix,
)
from training.encoder.tuning_texts import NO_TASK, TuningTexts

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Without `epochs` in the recipe, a run has at least 3 epochs. It gets more, up to the second number, to reach so many steps.
_LEAST_STEPS, _MOST_EPOCHS = 400, 20

# Gradients with a larger norm are scaled down to this one.
_MAX_NORM = 1.0

# Number of steps after which the state is saved. An interruption loses at most these.
_SAVE_EVERY = 200

_EVALUATION_BATCH = 32

# Weight of the distance to the teacher's vectors, beside the loss of the labels.
_TEACHER_WEIGHT = 10.0


@dataclass
class _State:
    """The progress of a run, which survives an interruption: steps done, and figures after each epoch."""

    done: int = 0
    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)


class TuningRun:
    """One tuning run. A step depends only on the state before it and on its own number, so a run can be interrupted.

    Args:
        name_or_path: A name on the Hugging Face hub or a local folder.
        texts: The texts.
        scratch: Folder for the state of the run and for the tuned model.
        recipe: The settings.
        data_sha256: Hash of the file of labelled prompts.
        wanted: Vectors of a teacher for all texts, shape (texts, dim). With them the model becomes a student without prefix.
    """

    def __init__(
        self,
        name_or_path: str,
        texts: TuningTexts,
        scratch: Path,
        *,
        recipe: FinetuneRecipe,
        data_sha256: str,
        wanted: NDArray[np.float32] | None = None,
    ) -> None:
        import torch

        self.texts, self.best = texts, scratch / "best"
        self._torch, self._recipe, self._scratch, self._data_sha256 = torch, recipe, scratch, data_sha256
        self._per_epoch = math.ceil(len(texts.taught) / recipe.batch)
        epochs = recipe.epochs or min(max(3, math.ceil(_LEAST_STEPS / self._per_epoch)), _MOST_EPOCHS)
        self.steps = epochs * self._per_epoch
        torch.manual_seed(recipe.seed)  # for the random weights of the head
        self._model = load_source_model(name_or_path, purpose="tuning an encoder")
        weights_sha256 = hash_weights(self._model)
        keep_layers(self._model, recipe.layers, name_or_path, spread=wanted is not None)
        if wanted is not None:
            set_prefix(self._model, "")
        self._prefix = find_prefix(self._model)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._wanted = None if wanted is None else torch.from_numpy(wanted).to(self._device)
        self._head = torch.nn.Linear(self._model[0].auto_model.config.hidden_size, len(texts.labels))
        self._model.to(self._device)
        self._head.to(self._device)
        if recipe.freeze_words:
            self._model[0].auto_model.get_input_embeddings().requires_grad_(False)
        self._optimizer, self._schedule = make_optimizer(self._model, self._head, recipe.learning_rate, self.steps)
        self._ids = self._tokenize(texts.texts)
        # The state of another run in the same folder must not be loaded.
        self._key = hashlib.sha256(
            repr((weights_sha256, data_sha256, asdict(recipe), epochs, torch.__version__)).encode()
            + (b"" if wanted is None else wanted.tobytes())
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

    @property
    def log_loss(self) -> list[float]:
        """Log-loss on the held-out prompts after each epoch."""
        return self._state.losses

    @property
    def accuracy(self) -> list[float]:
        """Accuracy of the head on the held-out prompts after each epoch."""
        return self._state.accuracies

    def take_step(self, step: int) -> None:
        """Update the weights on one batch. Evaluate and save at the end of an epoch."""
        torch, recipe = self._torch, self._recipe
        torch.manual_seed(recipe.seed * 1_000_003 + step)  # dropout is the same whether the run was interrupted or not
        epoch, place = divmod(step, self._per_epoch)
        # Drawn again in each step, so that the state of a run needs no position in a list of batches.
        rows = draw_batches(self.texts.taught, self._ids, recipe.batch, seed=recipe.seed, epoch=epoch)[place]
        self._model.train()
        vectors = self._pool(self._tokenize(self.texts.draw_texts(rows, step, typos=recipe.typos, moved=recipe.moved)))
        loss = self._find_loss(rows, vectors, step)
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

    def make_record(self) -> TuningRecord:
        """Return the record of the model of the best epoch."""
        kept = [self.texts.texts[i] for i in self.texts.kept]
        return TuningRecord(
            prompts_sha256=self._data_sha256,
            rows=len(kept),
            objective=self._recipe.objective,
            layers=len(encoder_layers(self._model)),
            epochs=int(np.argmin(self._state.losses)) + 1,
            seed=self._recipe.seed,
            seen=record_seen(kept, before=self.texts.tuning),
        )

    def _tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        return tokenize(self._model.tokenizer, texts, limit_tokens(self._model, self._recipe.max_tokens), self._prefix)

    def _find_loss(self, rows: Sequence[int], vectors: Any, step: int) -> Any:
        """Return the loss of a batch: that of the labels, and the distance to the teacher's vectors if there are any."""
        torch = self._torch
        targets = torch.tensor(self.texts.draw_targets(rows, step), device=self._device)
        labelled = targets != NO_TASK
        loss = vectors.sum() * 0.0  # a zero that can be differentiated
        if labelled.any():
            loss = tuning_loss(self._recipe.objective, self._head, vectors[labelled], targets[labelled])
        if self._wanted is None:
            return loss
        return loss * labelled.float().mean() + _TEACHER_WEIGHT * distance_loss(vectors, self._wanted[rows])

    def _pool(self, ids: Sequence[Sequence[int]]) -> Any:
        """Return sentence vectors as the model pools them, not scaled to length one: shape (len(ids), dim)."""
        return pool(self._model, ids, self._device)

    def _close_epoch(self) -> None:
        """Score the epoch on the held-out prompts, and keep the model if it is the best so far."""
        torch, rows = self._torch, self.texts.held_out.tolist()
        self._model.eval()
        with torch.no_grad():
            logits = torch.cat(
                [
                    self._head(self._pool([self._ids[row] for row in rows[i : i + _EVALUATION_BATCH]]))
                    for i in range(0, len(rows), _EVALUATION_BATCH)
                ]
            )
        targets = torch.tensor(self.texts.targets[self.texts.held_out], device=self._device)
        self._state.losses.append(float(torch.nn.functional.cross_entropy(logits, targets)))
        self._state.accuracies.append(float((logits.argmax(dim=1) == targets).float().mean()))
        if self._state.losses[-1] == min(self._state.losses):
            self._model.save(str(self.best))  # the weights go on changing, so the best ones are kept on disk

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
