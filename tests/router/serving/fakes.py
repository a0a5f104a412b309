"""Three models with known scores, served from a script."""

from router import Router
from router.errors import (
    CallError,
)
from router.execution.fake import FakeExecutor
from router.serving.serving import Serving
from tests.router.fakes import model
from tests.router.health.fakes import FakeClock

BEST = model("best", 0.9, cost_usd=0.02, capabilities=frozenset({"tools"}))


GOOD = model("good", 0.8, cost_usd=0.01, input_usd_per_mtok=10.0, output_usd_per_mtok=100.0)


POOR = model("poor", 0.4, cost_usd=0.001, capabilities=frozenset({"tools"}))


DOWN = CallError("transient", "503", status=503)


LIMITED = CallError("rate_limit", "429", status=429, retry_after_s=20.0)


def serve(script: dict[str, list[object]] | None = None, *, clock: FakeClock | None = None, **options: object) -> Router:
    serving = {name: options.pop(name) for name in ("endpoints", "fallbacks", "calls", "limits", "spend") if name in options}
    executor = FakeExecutor(script)  # type: ignore[arg-type]
    return Router(
        [BEST, GOOD, POOR],
        prefer="quality",
        serving=Serving(executor=executor, **serving),  # type: ignore[arg-type]
        clock=clock or FakeClock(),
        **options,  # type: ignore[arg-type]
    )


def asked(router: Router) -> list[str]:
    return [request.endpoint for request in router.fleet.executor.requests]  # type: ignore[attr-defined]
