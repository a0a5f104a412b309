"""Everything the router raises on purpose.

RouterError
├── InputError          an argument of the wrong type, or an option that does not exist (also a TypeError/ValueError's job)
├── NoCandidateError    every model was excluded; says by what
├── ArtifactError       a model folder is missing, damaged, altered or of another version; says the remedy
└── EncoderError        an encoder cannot be represented, or does not run on this machine

Messages tell the rule, the value that broke it and the remedy; they never contain a prompt.
"""

from collections.abc import Mapping


class RouterError(Exception):
    """Base of every error this project raises on purpose."""


class InputError(RouterError, ValueError):
    """An argument of the wrong type, or an option that does not exist."""


class NoCandidateError(RouterError):
    """No model is left to choose from.

    Attributes:
        excluded: What excluded each model, by name.
    """

    def __init__(self, excluded: Mapping[str, str]) -> None:
        self.excluded = dict(excluded)
        told = "; ".join(f"{model}: {reason}" for model, reason in self.excluded.items()) or "there are no models"
        super().__init__(f"no model can take this prompt ({told}); relax a constraint or add a model")

    def __reduce__(self) -> tuple[type["NoCandidateError"], tuple[dict[str, str]]]:
        """Pickle by what excluded each model, not by the message made of it."""
        return type(self), (self.excluded,)


class ArtifactError(RouterError):
    """A model folder is missing, damaged, altered or of another version."""


class EncoderError(RouterError):
    """An encoder cannot be represented in the runtime's form, or does not run here."""
