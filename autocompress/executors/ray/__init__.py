"""Trials on a Ray cluster, or on a Ray of this machine's own.

Actors of Ray's core run the trials, behind the same protocol as local worker processes
(:class:`~autocompress.executors.Executor`). Ray Tune is not between them:

- *One truth.* Tune keeps trials, searcher and scheduler in an experiment state of its own, next to
  the study. A study that changes hands between this machine and a cluster would have to be made
  to agree with it after every fault. Here a run has one state, wherever its trials run.
- *Nothing from a storage is executed.* ``Tuner.restore`` loads pickles from the storage path, which
  is code for whoever can write there. Here a storage holds L-C states and packed models.
- *The same code decides.* Who asks, who is told, twins, hard limits, halving, repeats: one driver
  under all executors, and reproducible where trials run one by one.
- *Placement.* A trial that ran out of memory is tried alone on a GPU, and latency is measured on
  certain nodes: other requests for the same trial, where Tune's follows from its configuration.

What Tune's parts are for is done by others. ``Searcher``: the study. ``TrialScheduler``: the
halver. ``FailureConfig``: the executor hands on what lost workers were doing. Checkpoints in
``storage_path``: :mod:`~autocompress.executors.ray.storage`. ``Tuner.restore``:
``autocompress resume``. ``reuse_actors``: actors run trial after trial.
"""
