import dataclasses

from autocompress.analysis.saving import saved, saved_text
from autocompress.explore.record import Status, TrialRecord
from autocompress.recipe import LC, MuSchedule

RECIPE = LC(mu=MuSchedule(steps=10)).model_dump(mode="json")


def test_epochs_saved_are_those_of_the_steps_left_out():
    full = TrialRecord(0, Status.COMPLETE, {"tasks": [], "recipe": RECIPE}, folder="a", epochs=20)
    part = dataclasses.replace(full, status=Status.PRUNED, epochs=6, course=((0.1, 1.0, 9),) * 4)
    twin = dataclasses.replace(part, folder=None, epochs=0, course=())
    assert saved([full, part, twin]) == (1, 26, 14)
    assert saved_text([full, part]) == "halving stopped 1 trials and saved 14 of 40 epochs (35 %)"
    assert saved_text([full]) == ""
