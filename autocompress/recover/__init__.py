"""What else restores accuracy, once the L-C algorithm has decided what is kept."""

from autocompress.recover.finetune import finetune

__all__ = ["finetune"]
