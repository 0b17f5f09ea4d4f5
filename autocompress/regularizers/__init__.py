"""Terms added to the loss of the L step that favour weights a scheme compresses well."""

from autocompress.regularizers.base import Regularizer
from autocompress.regularizers.terms import (
    L1,
    SCAD,
    GroupLasso,
    Hoyer,
    NuclearNorm,
    Orthogonality,
    SingularEntropy,
    SingularHoyer,
    SingularSCAD,
)

REGULARIZERS: dict[str, type[Regularizer]] = {
    cls.model_fields["name"].default: cls
    for cls in (
        L1,
        Hoyer,
        SCAD,
        GroupLasso,
        NuclearNorm,
        SingularHoyer,
        SingularSCAD,
        SingularEntropy,
        Orthogonality,
    )
}

__all__ = [
    "L1",
    "REGULARIZERS",
    "SCAD",
    "GroupLasso",
    "Hoyer",
    "NuclearNorm",
    "Orthogonality",
    "Regularizer",
    "SingularEntropy",
    "SingularHoyer",
    "SingularSCAD",
]
