"""Zaowu (造物, "to make things") turns your own data into a Transformer you can trust and ship.

The verbs of the command line, with the same names and defaults:

    import zaowu

    run = zaowu.fit("news.csv", target="topic")
    run.predict(["姚明宣布退役"]).prediction.labels
    run.evaluate("more.csv").to_plain()["accuracy"]
    zaowu.load("runs/news")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zaowu.errors import UserError as UserError
    from zaowu.run import Run as Run
    from zaowu.run.load import load as load
    from zaowu.verbs.check import check as check
    from zaowu.verbs.compare import compare as compare
    from zaowu.verbs.estimate import estimate_fit as estimate_fit, estimate_pretrain as estimate_pretrain
    from zaowu.verbs.fit import fit as fit
    from zaowu.verbs.generate import generate as generate
    from zaowu.verbs.predict import predict as predict
    from zaowu.verbs.pretrain import pretrain as pretrain

_PLACES = {
    "Run": "zaowu.run",
    "UserError": "zaowu.errors",
    "check": "zaowu.verbs.check",
    "compare": "zaowu.verbs.compare",
    "estimate_fit": "zaowu.verbs.estimate.fit",
    "estimate_pretrain": "zaowu.verbs.estimate.pretrain",
    "fit": "zaowu.verbs.fit",
    "generate": "zaowu.verbs.generate",
    "load": "zaowu.run.load",
    "predict": "zaowu.verbs.predict",
    "pretrain": "zaowu.verbs.pretrain",
}
__all__ = sorted(_PLACES)


def __getattr__(name: str) -> Any:
    """Imports a verb when it is first used, so that `import zaowu` costs nothing."""
    if name == "__version__":
        return import_module("importlib.metadata").version("zaowu")  # not needed to start
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'zaowu' has no attribute '{name}'")
