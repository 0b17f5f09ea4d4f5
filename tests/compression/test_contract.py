"""Every built-in scheme keeps the contract that extensions are held to."""

import torch

from autocompress import compression as c
from autocompress.compression.base import Compression, Tensors
from autocompress.testing import CompressionContract


class TestDense(CompressionContract):
    def make(self) -> list[Compression]:
        return [c.Dense()]


class TestCast(CompressionContract):
    def make(self) -> list[Compression]:
        halves: list[Compression] = [c.Cast("float16"), c.Cast("bfloat16")]
        return [*halves, c.Cast("float8_e4m3fn"), c.Cast("float8_e5m2")]


class TestPrune(CompressionContract):
    def make(self) -> list[Compression]:
        return [c.Prune(density) for density in (1e-9, 0.05, 0.5, 0.97, 1.0)]


class TestL1Ball(CompressionContract):
    def make(self) -> list[Compression]:
        return [c.L1Ball(radius) for radius in (1e-35, 1e-3, 0.1, 0.7, 1e32)]


class TestL0Penalty(CompressionContract):
    optimal = False

    def make(self) -> list[Compression]:
        return [c.L0Penalty(alpha) for alpha in (0.0, 1e-62, 0.1, 1.0, 1e80)]


class TestL1Penalty(CompressionContract):
    optimal = False

    def make(self) -> list[Compression]:
        return [c.L1Penalty(alpha) for alpha in (0.0, 1e-31, 0.1, 1.0, 1e80)]


class TestNMPrune(CompressionContract):
    def make(self) -> list[Compression]:
        pairs = [c.NMPrune(n, m) for n, m in ((1, 2), (2, 4), (3, 5), (9, 10), (33, 64))]
        return [*pairs, c.NMPrune(2, 3, axis="output"), c.NMPrune(5, 8, axis="output")]

    def weights(self) -> list[Tensors]:
        g = torch.Generator().manual_seed(1)
        filters = torch.randn(8, 64, 3, 3, generator=g).round(decimals=1)
        return [*super().weights(), (filters, torch.randn(16, 128, generator=g))]


class TestCodebook(CompressionContract):
    def make(self) -> list[Compression]:
        return [c.Codebook(k) for k in (1, 2, 3, 16, 20)]


class TestCodebookOptions(CompressionContract):
    def make(self) -> list[Compression]:
        groups = [c.Codebook(2, group=group) for group in ("tensor", "row", 7)]
        zeros = [c.Codebook(k, zero=True) for k in (1, 2, 3, 16)]
        return [*groups, *zeros, c.Codebook(3, zero=True, group="row")]


class TestBinary(CompressionContract):
    def make(self) -> list[Compression]:
        return [c.Binary(), *(c.BinaryScale(group) for group in (None, "tensor", "row", 7))]


class TestTernary(CompressionContract):
    def make(self) -> list[Compression]:
        return [c.Ternary(), *(c.TernaryScale(group) for group in (None, "tensor", "row", 7))]


class TestPowersOfTwo(CompressionContract):
    def make(self) -> list[Compression]:
        plain = [c.PowersOfTwo(exponent) for exponent in (0, 1, 4, 126)]
        return [*plain, c.PowersOfTwo(3, scale=True), c.PowersOfTwo(1, scale=True, group="row")]


class TestLowRank(CompressionContract):
    def make(self) -> list[Compression]:
        ranks = [c.LowRank(1), c.LowRank(3), c.LowRank(100)]
        spatial = [c.LowRank(1, conv="spatial"), c.LowRank(4, conv="spatial")]
        shares = [c.LowRank(rank_fraction=0.4), c.LowRank(parameters=0.5)]
        return [*ranks, *spatial, *shares]


class TestLowRankByEnergy(CompressionContract):
    optimal = False  # weights of more energy in fewer directions get a lower rank

    def make(self) -> list[Compression]:
        return [c.LowRank(energy=energy) for energy in (0.3, 0.9, 1.0)]


class TestRankSelection(CompressionContract):
    optimal = False  # a penalty

    def make(self) -> list[Compression]:
        costs = [c.RankSelection(alpha) for alpha in (1e-9, 0.01, 1e9)]
        return [*costs, c.RankSelection(0.05, conv="spatial", least=1)]


class TestGlobalRank(CompressionContract):
    def make(self) -> list[Compression]:
        return [c.GlobalRank(budget) for budget in (0.45, 0.7, 1.0)]

    def weights(self) -> list[Tensors]:
        normal = torch.randn(3, 12, 16, generator=torch.Generator().manual_seed(0))
        scaled = tuple(w * 2.0**i for i, w in enumerate(normal))
        return [*super().weights(), scaled, (*scaled, normal[0].reshape(12, 4, 2, 2))]


class TestStructurePrune(CompressionContract):
    def make(self) -> list[Compression]:
        return [c.StructurePrune(density) for density in (0.01, 0.3, 0.8, 1.0)]


class TestStructurePruneOfInputs(CompressionContract):
    def make(self) -> list[Compression]:
        return [
            c.StructurePrune(0.4, groups="inputs"),
            c.StructurePrune(0.6, groups="inputs", scope="layer", align=4),
        ]


class TestStructurePruneOptions(CompressionContract):
    def make(self) -> list[Compression]:
        return [
            c.StructurePrune(0.5, align=4),
            c.StructurePrune(0.7, scope="layer", align=3),
            c.StructurePrune(0.5, biases=False),
        ]


class TestStructurePruneByOtherNorms(CompressionContract):
    optimal = False

    def make(self) -> list[Compression]:
        schemes = [c.StructurePrune(0.4, norm=norm) for norm in ("l1", "max", "mean")]
        return [*schemes, c.StructurePrune(0.4, norm="mean", scope="layer")]


class TestBlockPrune(CompressionContract):
    def make(self) -> list[Compression]:
        return [
            c.BlockPrune(0.3, linear=(2, 3), conv=(3, 1)),
            c.BlockPrune(0.3, linear=(4,), conv=(2, 3, 2, 2), scope="layer"),
            c.BlockPrune(1.0, linear=(1, 1), conv=(1, 1)),
            c.BlockPrune(1e-9, linear=(1, 2), conv=(8, 1)),
        ]


class TestBlockPruneByOtherNorms(CompressionContract):
    optimal = False

    def make(self) -> list[Compression]:
        norms = ("l1", "max", "mean")
        return [c.BlockPrune(0.3, linear=(2, 3), conv=(3, 1), norm=norm) for norm in norms]


class TestUniformOptimal(CompressionContract):
    """Symmetric grids of least squares: the global optimum."""

    def make(self) -> list[Compression]:
        bits: list[Compression] = [c.Uniform(b) for b in (1, 2, 3, 4, 8)]
        channels: list[Compression] = [c.Uniform(b, per="channel") for b in (1, 3, 7)]
        return [*bits, *channels, c.Uniform(4, per="group", group_size=7)]


class TestUniform(CompressionContract):
    optimal = False

    def make(self) -> list[Compression]:
        return [
            c.Uniform(1, symmetric=False),
            c.Uniform(3, symmetric=False, per="channel"),
            c.Uniform(5, symmetric=False, per="group", group_size=9),
            c.Uniform(16),
            c.Uniform(16, symmetric=False, scale="minmax"),
            c.Uniform(2, scale="minmax", per="channel"),
            c.Uniform(4, scale="percentile"),
            c.Uniform(6, symmetric=False, scale="percentile", percentile=90, per="channel"),
            c.Uniform(3, scale="percentile", percentile=100.0, per="group", group_size=10**6),
            c.Uniform(3, scale="entropy"),
            c.Uniform(2, symmetric=False, scale="entropy", per="channel"),
            c.Compose([c.Uniform(4, symmetric=False, per="channel"), c.Cast("float16")]),
            c.Compose([c.LowRank(2), c.Uniform(8), c.Cast("bfloat16")]),
            c.Compose([c.Prune(0.3), c.Uniform(2, per="group", group_size=4)]),
            c.Additive([c.Uniform(2), c.Prune(0.1)]),
        ]


class TestComposeOfOne(CompressionContract):
    """Nothing is lost by composing a scheme with schemes that add nothing."""

    def make(self) -> list[Compression]:
        return [
            c.Compose([c.Prune(0.2)]),
            c.Compose([c.Codebook(3), c.Dense()]),
            c.Compose([c.Compose([c.StructurePrune(0.4)]), c.Dense()]),
        ]


class TestCompose(CompressionContract):
    optimal = False

    def make(self) -> list[Compression]:
        return [
            c.Compose([c.Prune(0.3), c.Codebook(3), c.Cast("float16")]),
            c.Compose([c.Codebook(4), c.Cast("bfloat16")]),
            c.Compose([c.LowRank(2), c.Codebook(4)]),
            c.Compose([c.LowRank(2), c.Prune(0.5), c.Cast("float16")]),
            c.Compose([c.StructurePrune(0.5), c.Cast("float16")]),
            c.Compose([c.StructurePrune(0.5), c.Prune(0.3)]),
            c.Compose([c.Prune(0.5), c.Additive([c.Codebook(2), c.Prune(0.1)])]),
            c.Compose([c.NMPrune(2, 4), c.Codebook(3), c.Cast("float16")]),
            c.Compose([c.L0Penalty(0.5), c.Codebook(3)]),
            c.Compose([c.L1Ball(0.1), c.Codebook(3)]),
        ]


class TestAdditive(CompressionContract):
    optimal = False

    def make(self) -> list[Compression]:
        return [
            c.Additive([c.Codebook(2), c.Prune(0.05)]),
            c.Additive([c.Prune(0.05), c.Codebook(2)], tolerance=0.0, max_sweeps=3),
            c.Additive([c.LowRank(1), c.Prune(0.1)]),
            c.Additive(
                [c.Compose([c.Codebook(2), c.Cast("float16")]), c.Codebook(3), c.Prune(0.1)]
            ),
            c.Additive([c.Additive([c.Codebook(2), c.Prune(0.1)]), c.LowRank(1)]),
            c.Additive([c.Dense(), c.Prune(0.1)]),
        ]
