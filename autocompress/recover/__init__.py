"""What else restores accuracy, once the L-C algorithm has decided what is kept."""

from autocompress.recover.tuner import finetune

__all__ = ["finetune"]
