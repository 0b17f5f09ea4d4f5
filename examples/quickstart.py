"""Compress a small network trained on scikit-learn's digits to a twentieth, in a few seconds."""

from __future__ import annotations

import autocompress as ac

data = ac.data.load("digits")
model = ac.models.load("digits-cnn", data)
plan = ac.Plan(
    [
        ac.Task("convolutions", ["conv*.weight"], ac.Compose([ac.Prune(0.3), ac.Codebook(8)])),
        ac.Task("fc1", ["fc1.weight"], ac.Compose([ac.Prune(0.1), ac.Codebook(4)])),
        ac.Task("fc2", ["fc2.weight"], ac.Codebook(k=4)),
    ]
)
result = ac.compress(model, plan, ac.LC(mu=ac.MuSchedule(steps=12)), data, on_step=print)
before, after = ac.lc.evaluate(model, data.test), result.evaluate(data.test)
print(f"test accuracy {before.accuracy:.4f} -> {after.accuracy:.4f}")
print(f"{result.size.reference_bytes} -> {result.size.bytes} bytes ({result.size.ratio:.1f}x)")
