"""Does a rewritten module still compute the same function?"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from autocompress.errors import ModelError

_RANDOM_INPUTS = 8
_RANDOM_NUMBERS = 2**15  # fewer inputs, but one, when they are large


@dataclass(frozen=True)
class Probe:
    """Inputs, and what a module made of them.

    Modules are compared in float64 where they can run in it: exact rewritings then differ by
    1e-13 rather than by float32 noise (or by the GPU's 10-bit TF32), so that a real difference
    cannot hide.

    Attributes:
        inputs: The example and a few normally distributed inputs, ``(batch, *input_shape)``.
        expected: The module's outputs, ``(batch, *output_shape)``.
        dtype: The floating point modules are cast to before they run.
        noise: Largest difference, relative to the largest output, that rounding the *weights* to
            their own dtype explains.
    """

    inputs: Tensor
    expected: Tensor
    dtype: torch.dtype
    noise: float

    @classmethod
    def of(cls, model: nn.Module, example: Tensor) -> Self:
        """Record what a model in eval mode computes.

        Raises:
            ModelError: it cannot run on the example, or does not return one tensor.
        """
        own = next((p.dtype for p in model.parameters() if p.is_floating_point()), example.dtype)
        inputs = example.detach().clone()
        if inputs.is_floating_point():
            generator = torch.Generator().manual_seed(0)
            fitting = _RANDOM_NUMBERS // max(1, inputs[0].numel())
            shape = (max(1, min(_RANDOM_INPUTS, fitting)), *inputs.shape[1:])
            random = torch.randn(shape, generator=generator, dtype=torch.float64)
            inputs = torch.cat([inputs[:1], random.to(inputs)])
        noise = 0.3 * math.sqrt(torch.finfo(own).eps) if own.is_floating_point else 1e-4
        try:
            return cls(inputs, _run(model, inputs, torch.float64), torch.float64, noise)
        except RuntimeError:  # a model that casts to a fixed dtype by itself
            pass
        try:
            return cls(inputs, _run(model, inputs, own), own, noise)
        except Exception as error:
            raise ModelError(f"the model cannot run on its example input: {error}") from error

    def agrees(self, module: nn.Module, *, exact: bool) -> bool:
        """Whether a module runs and gives the expected outputs.

        Args:
            module: The rewritten module, in eval mode; not changed.
            exact: The weights are the same numbers, so only the order of sums may differ. False
                allows for weights that were rounded differently.
        """
        try:
            outputs = _run(module, self.inputs, self.dtype)
        except Exception:  # whatever the user's forward raises when a layer is not what it was
            return False
        if outputs.shape != self.expected.shape:
            return False
        relative = 1e-9 if exact and self.dtype == torch.float64 else self.noise
        scale = float(self.expected.abs().nan_to_num().max()) if self.expected.numel() else 0.0
        return torch.allclose(
            outputs, self.expected, rtol=0.0, atol=relative * scale, equal_nan=True
        )


@torch.no_grad()
def _run(module: nn.Module, inputs: Tensor, dtype: torch.dtype) -> Tensor:
    """Run a copy of the module in the given floating point."""
    output = copy.deepcopy(module).to(dtype)(
        inputs.to(dtype) if inputs.is_floating_point() else inputs
    )
    if not isinstance(output, Tensor):
        raise ModelError(f"the model returns {type(output).__name__}, not one tensor of logits")
    return output
