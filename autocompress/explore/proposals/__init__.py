"""Who proposes candidates beside Optuna's samplers: what a search over compressions knows."""

from autocompress.explore.proposals.base import Proposal, Proposer

__all__ = ["Proposal", "Proposer"]
