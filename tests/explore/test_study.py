import math
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest

from autocompress.errors import AutocompressError, ConfigError, RunError
from autocompress.explore.database import Database
from autocompress.explore.objectives import Objective, Objectives
from autocompress.explore.record import Status
from autocompress.explore.sampling import derive_seed
from autocompress.explore.study import Study
from tests.explore.toys import (
    LAYERS,
    NET,
    OBJECTIVES,
    PRUNE,
    REFERENCE,
    metrics,
    new_study,
    run,
    setup,
    space,
)


def finish(study, trials):
    """Go on until there are so many trials, taking up what was left running."""
    for pending in study.pending():
        run(study, pending)
    while len(study.records()) - waiting(study) < trials:
        run(study, study.ask())
    return story(study)


def waiting(study):
    return sum(record.status is Status.WAITING for record in study.records())


def story(study):
    """Return all that must not depend on interruptions."""
    return [
        (r.number, r.status, r.candidate, r.metrics, r.seed, r.digest, r.origin, r.params)
        for r in study.records()
    ]


def test_a_study_is_described_in_a_line(tmp_path):
    study = new_study(tmp_path / "x")
    assert repr(study) == f"Study({str(tmp_path / 'x')!r}, {OBJECTIVES.name})"
    study.close()


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_a_study_stopped_anywhere_goes_on_as_if_it_never_had(tmp_path, sampler):
    expected = finish(new_study(tmp_path / "whole", sampler=sampler), 30)
    study = new_study(tmp_path / "parts", sampler=sampler)
    for stop in (2, 9, 17, 25):
        finish(study, stop)
        study.ask()  # running when the process is killed
        study.close()
        study = Study.load(tmp_path / "parts", model=NET)
        assert [pending.number for pending in study.pending()] == [stop]
    assert finish(study, 30) == expected
    assert len({digest for *_, digest, _, _ in expected}) > 20


SCRIPT = """
import sys
from autocompress.explore.study import Study
from tests.explore.test_study import finish
from tests.explore.toys import NET
study = Study.load(sys.argv[1], model=NET)
print("ready", flush=True)
finish(study, 60)
"""


@pytest.mark.slow
def test_kill_nine_loses_nothing(tmp_path):
    expected = finish(new_study(tmp_path / "whole", sampler="tpe"), 60)
    new_study(tmp_path / "killed", sampler="tpe").close()
    root = Path(__file__).resolve().parents[2]
    kills = 0
    for delay in (0.05, 0.3, 0.5, 0.2):
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / "killed")]
        process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
        process.stdout.close()
    assert kills >= 2
    assert finish(Study.load(tmp_path / "killed", model=NET), 60) == expected


def test_seeds_come_first_under_their_own_name(tmp_path):
    study = new_study(tmp_path / "run", trials=24)
    assert [r.status for r in study.records()] == [Status.WAITING] * 6
    finish(study, 8)
    origins = [record.origin for record in study.records()]
    assert origins == ["uniform"] * 6 + ["sampler"] * 2
    study = new_study(tmp_path / "dense", space=space(PRUNE))
    first = study.ask()
    assert first.origin == "dense"
    assert first.candidate.plan.canonical(NET).tasks == ()


def test_a_candidate_equal_modulo_symmetry_is_answered_from_the_study(tmp_path):
    study = new_study(tmp_path / "run", seeds=False)
    first = study.ask()
    assert study.find(first.digest) is None
    assert study.answer(first) is None
    told = study.tell(first.record(Status.COMPLETE, metrics(first.digest), seconds=9.0))
    assert study.find(first.digest) == told
    second = study.ask()
    twin = type(second)(second.number, first.candidate, first.digest, second.seed)
    record = study.answer(twin)
    assert record is not None
    assert (record.number, record.metrics, record.seconds) == (1, told.metrics, 0.0)
    assert record.message == "the same as trial 0, not run again"
    assert Study.load(tmp_path / "run", model=NET).find(first.digest) == told


def test_a_crash_is_worth_another_try_and_a_timeout_is_not(tmp_path):
    study = new_study(tmp_path / "run", seeds=False)
    crashed, slow = study.ask(), study.ask()
    study.tell(crashed.record(Status.CRASHED, message="killed"))
    study.tell(slow.record(Status.TIMEOUT, message="too slow"))
    assert study.find(crashed.digest) is None
    assert study.find(slow.digest) is not None


def test_what_is_told_is_what_is_read_back(tmp_path):
    study = new_study(tmp_path / "run", seeds=False)
    record = study.ask().record(
        Status.COMPLETE,
        {"accuracy": 0.5, "bytes": 10.0, "latency": math.nan},
        seconds=1.5,
        message="ok",
        folder="trials/0000",
    )
    told = study.tell(record)
    (read,) = Study.load(tmp_path / "run").records()
    assert math.isnan(read.metrics.pop("latency"))
    told.metrics.pop("latency")
    assert read == told


def test_a_limit_makes_a_trial_infeasible_and_samplers_see_it(tmp_path):
    limited = OBJECTIVES.with_limits({"bytes": 50.0})
    study = new_study(tmp_path / "run", seeds=False, objectives=limited)
    heavy, light, early = study.ask(), study.ask(), study.ask()
    told = study.tell(heavy.record(Status.COMPLETE, {"accuracy": 0.9, "bytes": 100.0}))
    assert told.status is Status.INFEASIBLE
    study.tell(light.record(Status.COMPLETE, {"accuracy": 0.9, "bytes": 25.0}))
    study.tell(early.record(Status.INFEASIBLE, {"bytes": 75.0}, message="not trained"))
    url = f"sqlite:///{tmp_path}/run/study.db"
    trials = optuna.load_study(study_name="run", storage=url).get_trials()
    assert [trial.constraints for trial in trials] == [
        {"bytes": 1.0},
        {"bytes": -0.5},
        {"bytes": 0.5},
    ]
    assert [record.number for record in study.front().records] == [1]


def test_the_front_is_that_of_the_records(tmp_path):
    study = new_study(tmp_path / "run", seeds=False)
    for accuracy, size in [(0.9, 100.0), (0.8, 200.0), (0.95, 300.0), (math.nan, 1.0)]:
        pending = study.ask()
        study.tell(pending.record(Status.COMPLETE, {"accuracy": accuracy, "bytes": size}))
    study.ask()
    front = study.front()
    assert [record.number for record in front.records] == [2, 0]
    assert front.reference == REFERENCE
    assert front.objectives == OBJECTIVES


def test_a_reader_follows_a_running_study(tmp_path):
    study = new_study(tmp_path / "run", seeds=False)
    reader = Study.load(tmp_path / "run")
    assert reader.records() == []
    pending = study.ask()
    assert [record.status for record in reader.records()] == [Status.RUNNING]
    study.tell(pending.record(Status.COMPLETE, metrics(pending.digest)))
    assert reader.records() == study.records()
    with pytest.raises(RunError, match="load it with the model"):
        reader.ask()


def test_test_accuracies_and_notes_are_kept_beside_the_trials(tmp_path):
    study = new_study(tmp_path / "run", seeds=False)
    pending = study.ask()
    study.tell(pending.record(Status.COMPLETE, metrics(pending.digest)))
    assert study.test(0) is None
    study.set_test(0, 0.75)
    study.set_note("hardware", {"cpu": "x"})
    again = Study.load(tmp_path / "run")
    assert (again.test(0), again.tests()) == (0.75, {0: 0.75})
    assert again.note("hardware") == {"cpu": "x"}
    assert again.note("nothing") is None


def test_seeds_of_trials_are_their_own_and_reproducible(tmp_path):
    study = new_study(tmp_path / "run", seeds=False, seed=5)
    seeds = [study.ask().seed for _ in range(3)]
    assert seeds == [derive_seed(5, number, "trial") for number in range(3)]
    assert len(set(seeds)) == 3


def test_a_run_that_was_moved_is_still_found(tmp_path):
    study = new_study(tmp_path / "run", seeds=False)
    pending = study.ask()
    study.tell(pending.record(Status.COMPLETE, metrics(pending.digest)))
    study.close()
    shutil.move(tmp_path / "run", tmp_path / "elsewhere")
    for path in (tmp_path / "elsewhere", tmp_path / "elsewhere" / "study.db"):
        again = Study.load(path, model=NET)
        assert again.path == tmp_path / "elsewhere"
        assert again.setup == study.setup
        assert again.records() == study.records()
    assert again.ask().number == 1


def test_folders_that_cannot_be_used_are_told_clearly(tmp_path):
    new_study(tmp_path / "run")
    with pytest.raises(RunError, match="run already holds a study: resume it"):
        new_study(tmp_path / "run")
    with pytest.raises(RunError, match=r"none holds no study: there is no file study\.db"):
        Study.load(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_study_that_cannot_work_is_never_created(tmp_path):
    unresolved = Objectives("x", (Objective("accuracy", "maximize"),))
    elsewhere = "layers: [{match: 'dense*', schemes: [{scheme: dense}]}]"
    for changes, error in [
        ({"objectives": unresolved}, ConfigError),
        ({"space": space(elsewhere)}, ConfigError),
        ({"sampler": "best"}, ConfigError),
    ]:
        with pytest.raises(error):
            Study.create(tmp_path / "run", setup(**changes), NET)
    assert not (tmp_path / "run" / "study.db").exists()


def test_an_interrupted_creation_can_be_repeated(tmp_path, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Database, "set_study_user_attr", stop)
        with pytest.raises(KeyboardInterrupt):
            new_study(tmp_path / "run")
    assert len(new_study(tmp_path / "run").records()) == 6


def test_only_results_can_be_told_and_only_once(tmp_path):
    study = new_study(tmp_path / "run", seeds=False)
    pending = study.ask()
    with pytest.raises(RunError, match="running: that is no result"):
        study.tell(pending.record())
    done = pending.record(Status.COMPLETE, metrics(pending.digest))
    study.tell(done)
    with pytest.raises(RunError, match="not running"):
        study.tell(done)
    assert isinstance(RunError("x"), AutocompressError)


def test_enqueued_candidates_may_be_added_later(tmp_path):
    from autocompress.explore.seeding import make_seeds

    study = new_study(tmp_path / "run", seeds=False)
    run(study, study.ask())
    seeds = make_seeds(study.setup.space, LAYERS, 8)
    study.enqueue(seeds)
    study = Study.load(tmp_path / "run", model=NET)
    assert [study.ask().candidate for _ in seeds] == [seed.candidate for seed in seeds]
    assert study.ask().origin == "sampler"
