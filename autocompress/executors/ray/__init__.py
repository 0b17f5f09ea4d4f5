"""Trials on a Ray cluster, or on a Ray of this machine's own; Ray Tune runs them.

The study stays the one truth, behind the same protocol as local worker processes
(:class:`~autocompress.executors.Executor`): the driver, who asks it and tells it, is the same code
under all executors. Tune runs in a thread of its own, with

- a ``Searcher`` (:mod:`~autocompress.executors.ray.floor`) that hands out what the driver has
  asked the study for;
- a ``TrialScheduler`` that passes on every L-C step, and the word of the driver's halver that a
  trial is to stop after one; it also keeps a worker until there is another trial for it, where Tune
  would end it (``reuse_actors``);
- ``FailureConfig(max_failures=0)``: a trial whose worker is gone is given back to the driver, which
  knows lost nodes from trials that kill their worker, and hands it out again;
- a :class:`~autocompress.executors.ray.trainable.Trainable` around the worker function that all
  executors run.

States are no checkpoints of Tune's and a run is not restored by ``Tuner.restore``: both unpickle
files from the storage path, which runs code of whoever can write there. L-C states go through
:mod:`~autocompress.executors.ray.storage` after every step, as safetensors, and ``autocompress
resume`` goes on from the study, under any executor.
"""
