"""Two routers, whose decisions can be worked out by hand, and a log of prompts."""

from router import Router
from tests.router.fakes import classifier, model
from tests.training.monitor.samples import log

_TASKS = {"prove it": (0.0, 1.0, 0.0), "a poem": (0.0, 0.0, 1.0), "fix it": (1.0, 0.0, 0.0)}
_PREDICTIONS = {text: tuple(max(p, 1e-9) for p in shares) for text, shares in _TASKS.items()}
_A = {"coding": 0.9, "math": 0.5, "writing": 0.5}
_B = model("b", 0.6, cost_usd=0.002)
_C = model("c", {"coding": 0.1, "math": 0.1, "writing": 0.7}, cost_usd=0.004)
OLD = Router([model("a", _A, cost_usd=0.01), _B], classifier(_PREDICTIONS), prefer="quality")
NEW = Router([model("a", _A | {"math": 0.8}, cost_usd=0.01), _B, _C], classifier(_PREDICTIONS), prefer="quality")
LOG = log("fix it", "prove it", "a poem", "prove it", "prove it")
