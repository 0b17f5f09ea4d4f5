"""Which trial is started from, and that the study remembers it."""

import autocompress as ac
from autocompress.explore.continuation import Starts
from autocompress.explore.record import Status, TrialRecord
from autocompress.explore.study import Study
from autocompress.recipe import Candidate

from .toys import NET, PRUNE, metrics, new_study, space


def candidate(density, recipe=None):
    plan = ac.Plan([ac.Task("all", ["*.weight"], ac.Prune(density))])
    return Candidate(plan, recipe or ac.LC())


def record(number, density, recipe=None, **more):
    values = {"status": Status.COMPLETE, "folder": f"trials/{number:04d}"} | more
    return TrialRecord(number, candidate=candidate(density, recipe).to_dict(), **values)


def test_the_nearest_complete_trial_is_chosen():
    starts = Starts(NET)
    records = [record(0, 0.9), record(1, 0.2), record(2, 0.11), record(3, 0.05)]
    assert starts.choose(candidate(0.1), records) == 2
    assert starts.choose(candidate(0.1), records[:1]) is None
    assert starts.choose(candidate(0.1), []) is None
    assert starts.choose(candidate(0.1), reversed(records)) == 2  # the order does not matter


def test_trials_that_left_no_end_of_a_loop_are_passed_over():
    odd = [
        record(0, 0.1, status=Status.PRUNED),
        record(1, 0.1, folder=None),
        record(2, 0.1, recipe=ac.Direct()),
        record(3, 1.0),
        TrialRecord(4, Status.COMPLETE, folder="trials/0004"),
        TrialRecord(5, Status.COMPLETE, candidate={"tasks": "?"}, folder="trials/0005"),
    ]
    assert Starts(NET).choose(candidate(0.1), odd) is None


def test_what_does_not_train_starts_from_the_reference():
    records = [record(0, 0.1), record(1, 1.0)]
    assert Starts(NET).choose(candidate(0.1, ac.Direct()), records) is None
    assert Starts(NET).choose(candidate(1.0), records) is None


def finish(study, pending):
    known = study.answer(pending)
    folder = f"trials/{pending.number:04d}"
    values = metrics(pending.digest)
    return known or study.tell(pending.record(Status.COMPLETE, values, folder=folder))


def test_starts_are_stored_and_the_same_after_loading(tmp_path):
    sweep = {"continuation": True}
    with new_study(tmp_path / "a", space=space(PRUNE), sweep=sweep) as study:
        assert study.continues
        whole = [finish(study, study.ask()) for _ in range(12)]
    starts = [r.start for r in whole]
    assert any(start is not None for start in starts)
    assert all(start is None or start < number for number, start in enumerate(starts))
    with new_study(tmp_path / "b", space=space(PRUNE), sweep=sweep) as study:
        parts = [finish(study, study.ask()) for _ in range(5)]
        study.ask()
    with Study.load(tmp_path / "b", model=NET) as study:
        (pending,) = study.pending()
        assert pending.start == starts[5]
        parts += [finish(study, pending)] + [finish(study, study.ask()) for _ in range(6)]
    assert parts == whole
    with Study.load(tmp_path / "b") as study:
        assert [r.start for r in study.records()] == starts


def test_without_continuation_nothing_starts_from_another_trial(tmp_path):
    with new_study(tmp_path, space=space(PRUNE)) as study:
        records = [finish(study, study.ask()) for _ in range(8)]
        assert not study.continues
    assert {r.start for r in records} == {None}
