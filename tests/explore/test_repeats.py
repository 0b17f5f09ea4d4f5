import json
import math

from autocompress.explore.record import Status
from autocompress.explore.repeats import Repeat, by_trial
from autocompress.explore.study import Study

from .toys import new_study, run

ONE = Repeat(3, 1, 77, Status.COMPLETE, {"accuracy": 0.5, "bytes": 10.0}, 1.5, "", "trials/0003/x")
TWO = Repeat(3, 2, 78, Status.DIVERGED, {"accuracy": math.nan}, 1.5, "NaN")


def test_repeats_survive_json_and_are_put_in_order():
    stored = [json.loads(json.dumps(r.to_dict(), allow_nan=False)) for r in (TWO, ONE)]
    found = by_trial(stored)
    assert found[3][0] == ONE
    assert math.isnan(found[3][1].metrics["accuracy"])
    assert found[3][1].status is Status.DIVERGED
    assert by_trial([{**stored[1], "of a newer version": 1}])[3] == (ONE,)


def test_a_study_keeps_them_apart_from_its_trials(tmp_path):
    with new_study(tmp_path) as study:
        before = [run(study, study.ask()) for _ in range(4)]
        assert study.repeats() == {}
        assert study.front().noise is None
        study.set_repeat(ONE)
        study.set_repeat(Repeat(3, 2, 78, Status.COMPLETE, {"accuracy": 0.6, "bytes": 10.0}))
        assert study.records()[:4] == before
        assert study.tests() == {}
    with Study.load(tmp_path) as study:
        assert study.repeats()[3][0] == ONE
        assert study.front().noise.seeds == {3: 3}
