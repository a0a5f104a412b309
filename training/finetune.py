"""An encoder tuned to say a prompt's task instead of its topic."""

from __future__ import annotations

import base64
import hashlib
import math
import random
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from router.encoder import Distillation, Tuning
from router.errors import EncoderError
from router.text import cut
from training.classifier import split_folds
from training.datasets import PromptSet
from training.encoders import special_tokens
from training.outliers import random_labels, texts_without_request

if TYPE_CHECKING:
    from numpy.typing import NDArray

Objective = Literal["cross-entropy", "contrastive", "both"]
Steps = Callable[[Sequence[int]], Iterable[int]]

# Of few prompts more are held out: what is chosen on them (when to stop, how sure to be) needs some hundred.
_HELD_OUT_SHARE, _HELD_OUT_MOST, _HELD_OUT_PROMPTS = 0.1, 0.2, 200
_LEAST_STEPS, _MOST_EPOCHS = 400, 20
_WARM_UP, _WEIGHT_DECAY, _LABEL_SMOOTHING, _MAX_NORM = 0.1, 0.01, 0.1, 1.0
_HEAD_RATE = 10.0
_CONTRAST_TEMPERATURE, _CONTRAST_WEIGHT = 0.1, 0.5
# Batches are cut from so many of them sorted by length: little padding, and still at random.
_SORTED_BATCHES = 32
_SAVE_EVERY = 200
_EVALUATION_BATCH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to tune.

    Attributes:
        layers: How many of the encoder's first layers to keep; None: all.
        objective: `cross-entropy` through a linear head, supervised `contrastive` loss (Khosla et al., 2020,
            arXiv 2004.11362, equation 2), or `both`.
        epochs: How often every prompt is seen; None: three times, few prompts as often as makes 400 steps.
        batch: Prompts in a step.
        learning_rate: Of the encoder at its highest; the head learns ten times as fast.
        max_tokens: Longest input; of longer ones head and tail are kept, as when the encoder serves.
        seed: Of every random choice.
    """

    layers: int | None = None
    objective: Objective = "cross-entropy"
    epochs: int | None = None
    batch: int = 16
    learning_rate: float = 6e-5
    max_tokens: int = 128
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """A tuned encoder.

    Attributes:
        folder: The sentence-transformers model, of the best epoch.
        record: What it was tuned on, and how.
        log_loss: On the prompts held out, after each epoch, and
        accuracy: the share of them that the head got right.
        held_out: How many were held out.
    """

    folder: Path
    record: Tuning
    log_loss: Sequence[float]
    accuracy: Sequence[float]
    held_out: int


def finetune(
    name_or_path: str, prompts: PromptSet, scratch: Path, *, recipe: Recipe | None = None, progress: Steps = iter
) -> Tuned:
    """Tune a sentence-transformers model on labelled prompts; keep the epoch that was best on a tenth of them, held out.

    The same inputs on the same machine give the same weights, interrupted or not: where `scratch` holds a run of the same
    prompts and recipe, it goes on. Uses a GPU where there is one.

    Args:
        name_or_path: A hub name or a local folder.
        prompts: At least five of each task.
        scratch: Folder for the state of the run and the tuned model.
        recipe: How; the default one where None.
        progress: Wraps the numbers of the steps still to do.

    Raises:
        EncoderError: If the model cannot be loaded or has fewer layers than the recipe keeps.
    """
    run = _Run(name_or_path, prompts, scratch, recipe or Recipe())
    for step in progress(range(run.done, run.steps)):
        if run.stopped:
            break
        run.take_step(step)
    return run.finish()


def was_seen(texts: Sequence[str], record: Tuning | Distillation | None) -> NDArray[np.bool_]:
    """Return which texts an encoder was tuned on, or a draft distilled from, shape (len(texts),): there it flatters."""
    seen = frozenset(np.frombuffer(base64.b64decode(record.seen), "<u4").tolist()) if record else frozenset()
    return np.array([number in seen for number in _fingerprint(texts)], np.bool_)


def record_seen(texts: Sequence[str]) -> str:
    """Return what a record says of the texts that were seen, for `was_seen`."""
    return base64.b64encode(np.array(sorted(set(_fingerprint(texts))), "<u4").tobytes()).decode()


def _fingerprint(texts: Sequence[str]) -> list[int]:
    return [zlib.crc32(text.encode("utf-8", "replace")) for text in texts]


def hold_out(prompts: PromptSet, *, seed: int) -> NDArray[np.bool_]:
    """Return which rows to hold out: a tenth by group, tasks spread evenly."""
    targets = np.unique([row.task for row in prompts.rows], return_inverse=True)[1]
    share = max(_HELD_OUT_SHARE, min(_HELD_OUT_MOST, _HELD_OUT_PROMPTS / len(targets)))
    folds = split_folds(targets, [row.group for row in prompts.rows], seed=seed, n=round(1 / share))
    return np.asarray(folds == 0, np.bool_)


@dataclass
class _State:
    """How far a run is: what survives an interruption."""

    done: int = 0
    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)


class _Run:
    """One tuning run; a step depends on nothing but the state before it and the step's number."""

    def __init__(self, name_or_path: str, prompts: PromptSet, scratch: Path, recipe: Recipe) -> None:
        import torch

        self._torch, self._recipe, self._prompts, self._scratch = torch, recipe, prompts, scratch
        self._labels = sorted({row.task for row in prompts.rows})
        self._targets = np.array([self._labels.index(row.task) for row in prompts.rows])
        held_out = hold_out(prompts, seed=recipe.seed)
        self._held_out, self._kept = np.flatnonzero(held_out), np.flatnonzero(~held_out)
        texts = [row.prompt for row in prompts.rows]
        outliers = texts_without_request(len(texts), seed=recipe.seed)
        self._taught = np.concatenate([self._kept, len(texts) + np.arange(len(outliers))])
        self._per_epoch = math.ceil(len(self._taught) / recipe.batch)
        self._epochs = recipe.epochs or min(max(3, math.ceil(_LEAST_STEPS / self._per_epoch)), _MOST_EPOCHS)
        self.steps = self._epochs * self._per_epoch
        torch.manual_seed(recipe.seed)
        self._model = _load(name_or_path, recipe)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._head = torch.nn.Linear(self._model[0].auto_model.config.hidden_size, len(self._labels))
        self._model.to(self._device)
        self._head.to(self._device)
        self._optimizer, self._schedule = self._prepare()
        self._ids = _tokenize(self._model.tokenizer, [*texts, *outliers], recipe.max_tokens)
        self._key = hashlib.sha256(
            repr((name_or_path, prompts.sha256, asdict(recipe), self._epochs, torch.__version__)).encode()
        ).hexdigest()
        self._state = self._resume()

    @property
    def done(self) -> int:
        return self._state.done

    @property
    def stopped(self) -> bool:
        """Whether the last epoch was no better than the one before on the prompts held out."""
        losses = self._state.losses
        return len(losses) > 1 and losses[-1] >= losses[-2] and self.done % self._per_epoch == 0

    def take_step(self, step: int) -> None:
        torch = self._torch
        torch.manual_seed(self._recipe.seed * 1_000_003 + step)  # dropout: the same whether the run was interrupted or not
        epoch, place = divmod(step, self._per_epoch)
        rows = self._batches(epoch)[place]
        self._model.train()
        loss = self._loss(self._pool(rows), torch.tensor(self._draw_targets(rows, step), device=self._device))
        self._optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([*self._model.parameters(), *self._head.parameters()], _MAX_NORM)
        self._optimizer.step()
        self._schedule.step()
        self._state.done = step + 1
        if place + 1 == self._per_epoch:
            self._close_epoch()
        if place + 1 == self._per_epoch or self.done % _SAVE_EVERY == 0:
            self._save()

    def _draw_targets(self, rows: Sequence[int], step: int) -> list[int]:
        """Return the targets of some rows; those of texts that are no request are drawn anew in each step."""
        drawn = random_labels(len(self._labels), len(self._labels), seed=f"{self._recipe.seed} {step}")
        return [int(self._targets[row]) if row < len(self._targets) else drawn[row % len(drawn)] for row in rows]

    def finish(self) -> Tuned:
        state, best = self._state, int(np.argmin(self._state.losses))
        kept = [self._prompts.rows[i].prompt for i in self._kept]
        return Tuned(
            folder=self._best,
            record=Tuning(
                prompts_sha256=self._prompts.sha256,
                rows=len(kept),
                objective=self._recipe.objective,
                layers=len(_layers(self._model)),
                epochs=best + 1,
                seed=self._recipe.seed,
                seen=record_seen(kept),
            ),
            log_loss=state.losses,
            accuracy=state.accuracies,
            held_out=len(self._held_out),
        )

    @property
    def _best(self) -> Path:
        return self._scratch / "best"

    def _prepare(self) -> tuple[Any, Any]:
        """AdamW, without decay on biases and norms; linear warm-up, then linear down to zero."""
        torch, recipe = self._torch, self._recipe
        parameters = list(self._model.parameters())
        optimizer = torch.optim.AdamW(
            [
                {"params": [p for p in parameters if p.ndim > 1], "weight_decay": _WEIGHT_DECAY},
                {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
                {"params": list(self._head.parameters()), "lr": recipe.learning_rate * _HEAD_RATE, "weight_decay": 0.01},
            ],
            lr=recipe.learning_rate,
        )
        warm_up = max(1, round(_WARM_UP * self.steps))

        def rate(step: int) -> float:
            return min((step + 1) / warm_up, max(0.0, (self.steps - step) / (self.steps - warm_up)), 1.0)

        return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, rate)

    def _batches(self, epoch: int) -> list[list[int]]:
        rng = random.Random(f"{self._recipe.seed} {epoch}")  # noqa: S311 - an order, not a secret
        order, size = self._taught.tolist(), self._recipe.batch
        rng.shuffle(order)
        batches = []
        for start in range(0, len(order), size * _SORTED_BATCHES):
            block = sorted(order[start : start + size * _SORTED_BATCHES], key=lambda row: len(self._ids[row]))
            batches += [block[i : i + size] for i in range(0, len(block), size)]
        rng.shuffle(batches)
        return batches

    def _pool(self, rows: Sequence[int]) -> Any:
        """Return sentence vectors as the model pools them, of length one where it normalises: shape (len(rows), dim)."""
        torch, longest = self._torch, max(len(self._ids[row]) for row in rows)
        ids, mask = (torch.zeros(len(rows), longest, dtype=torch.long, device=self._device) for _ in range(2))
        for place, row in enumerate(rows):
            ids[place, : len(self._ids[row])] = torch.tensor(self._ids[row])
            mask[place, : len(self._ids[row])] = 1
        features = {"input_ids": ids, "attention_mask": mask}
        if "token_type_ids" in self._model.tokenizer.model_input_names:
            features["token_type_ids"] = torch.zeros_like(ids)
        for module in list(self._model)[:2]:  # a third one would scale to length one, which the head does not want
            features = module(features)
        return features["sentence_embedding"]

    def _loss(self, vectors: Any, targets: Any) -> Any:
        functional, objective = self._torch.nn.functional, self._recipe.objective
        heard = vectors.detach() if objective == "contrastive" else vectors  # then the head only looks on
        loss = functional.cross_entropy(self._head(heard), targets, label_smoothing=_LABEL_SMOOTHING)
        if objective == "cross-entropy":
            return loss
        return loss + (1.0 if objective == "contrastive" else _CONTRAST_WEIGHT) * self._contrast(vectors, targets)

    def _contrast(self, vectors: Any, targets: Any) -> Any:
        torch = self._torch
        scaled = torch.nn.functional.normalize(vectors, dim=1)
        alike = scaled @ scaled.T / _CONTRAST_TEMPERATURE
        self_pairs = torch.eye(len(targets), dtype=torch.bool, device=self._device)
        alike = alike.masked_fill(self_pairs, -1e9)
        log_p = alike - torch.logsumexp(alike, dim=1, keepdim=True)
        positive = (targets[:, None] == targets[None, :]) & ~self_pairs
        anchors = positive.any(dim=1)
        if not anchors.any():
            return vectors.sum() * 0.0
        return -((log_p * positive).sum(dim=1)[anchors] / positive.sum(dim=1)[anchors]).mean()

    def _close_epoch(self) -> None:
        """Judge the epoch on the prompts held out; keep it if it is the best so far."""
        torch, places = self._torch, self._held_out.tolist()
        self._model.eval()
        with torch.no_grad():
            logits = torch.cat(
                [self._head(self._pool(places[i : i + _EVALUATION_BATCH])) for i in range(0, len(places), _EVALUATION_BATCH)]
            )
        targets = torch.tensor(self._targets[self._held_out], device=self._device)
        self._state.losses.append(float(torch.nn.functional.cross_entropy(logits, targets)))
        self._state.accuracies.append(float((logits.argmax(dim=1) == targets).float().mean()))
        if self._state.losses[-1] == min(self._state.losses):
            self._model.save(str(self._best))

    def _save(self) -> None:
        self._scratch.mkdir(parents=True, exist_ok=True)
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
        file = self._scratch / "state.pt"
        if not file.is_file():
            return _State()
        saved = self._torch.load(file, map_location=self._device, weights_only=True)
        if saved["key"] != self._key:
            return _State()
        for part in ("model", "head", "optimizer", "schedule"):
            getattr(self, f"_{part}").load_state_dict(saved[part])
        return _State(**saved["state"])


def _load(name_or_path: str, recipe: Recipe) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise EncoderError(
            "tuning an encoder needs sentence-transformers; pip install 'contextual-llm-router[sentence-transformers]'"
        ) from error
    model: Any
    try:
        model = SentenceTransformer(name_or_path, device="cpu")
    except (OSError, ValueError) as error:
        raise EncoderError(f"sentence-transformers cannot load {name_or_path!r}: {error}") from error
    layers = _layers(model)
    if recipe.layers is not None:
        if not 1 <= recipe.layers <= len(layers):
            raise EncoderError(f"layers must be between 1 and the {len(layers)} of {name_or_path}, was {recipe.layers}")
        del layers[recipe.layers :]
        model[0].auto_model.config.num_hidden_layers = recipe.layers
    return model


def _layers(model: Any) -> Any:
    encoder = getattr(model[0].auto_model, "encoder", None)
    if encoder is None or not hasattr(encoder, "layer"):
        raise EncoderError(f"tuning needs an encoder of BERT's form, was {type(model[0].auto_model).__name__}")
    return encoder.layer


def _tokenize(tokenizer: Any, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
    """Return the ids of each text as the runtime will cut it: head and tail, special tokens around."""
    before, after = special_tokens(tokenizer)
    room = max_tokens - len(before) - len(after)
    tokenized = []
    for text in texts:
        ids = tokenizer(cut(text), add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
        if len(ids) > room:
            ids = ids[: room - room // 2] + ids[len(ids) - room // 2 :]
        tokenized.append([*before, *ids, *after])
    return tokenized
