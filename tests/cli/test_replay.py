import pytest


def test_replay_prints_both_and_says_whether_they_agree(run, copied):
    said = run("replay", copied, 2)
    assert said.code == 0, said.err
    assert "recorded" in said.out
    assert "replayed" in said.out
    assert f"files: {copied}/replays/0002-1" in said.out
    assert said.out.rstrip().endswith("trial 2 agrees with its record, bit for bit")


def test_a_difference_is_exit_code_1(run, copied, monkeypatch):
    from autocompress.explore.record import TrialRecord

    original = TrialRecord.from_dict.__func__

    def changed(cls, data):
        record = original(cls, data)
        record.metrics["bytes"] = 1.0
        return record

    monkeypatch.setattr(TrialRecord, "from_dict", classmethod(changed))
    said = run("replay", copied, 2)
    assert said.code == 1
    assert "differs: 1.0, " in said.out
    assert said.out.rstrip().endswith("trial 2 does not agree with its record")


@pytest.mark.parametrize(("trial", "words"), [("99", "no trial 99"), ("many", "trial")])
def test_bad_input_is_one_line(run, finished, trial, words):
    said = run("replay", finished, trial)
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert words in said.err
