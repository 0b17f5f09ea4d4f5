"""The Learning-Compression algorithm: loop, penalty, learner, state. Knows nothing of search."""

from autocompress.evaluation import Evaluation, evaluate
from autocompress.lc.budget import LStep
from autocompress.lc.learner import Learner, Trainer
from autocompress.lc.loop import run
from autocompress.lc.penalty import Penalty, swapped
from autocompress.lc.record import StepRecord
from autocompress.lc.state import Best, Solution, State
from autocompress.lc.warm import Warm

__all__ = [
    "Best",
    "Evaluation",
    "LStep",
    "Learner",
    "Penalty",
    "Solution",
    "State",
    "StepRecord",
    "Trainer",
    "Warm",
    "evaluate",
    "run",
    "swapped",
]
