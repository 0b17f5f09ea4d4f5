import pytest

from autocompress.config import Sweep
from autocompress.executors.local import LocalExecutor
from autocompress.executors.serial import SerialExecutor
from autocompress.places import make_executor
from autocompress.testing.executors import toy_context


@pytest.mark.parametrize(("jobs", "kind"), [(0, SerialExecutor), (3, LocalExecutor)])
def test_jobs_tell_where_trials_run(jobs, kind):
    with make_executor(Sweep(jobs=jobs), toy_context(), None, pytest.fail) as executor:
        assert isinstance(executor, kind)
        assert executor.capacity == max(jobs, 1)


def test_without_a_study_trials_stay_on_this_machine():
    sweep = Sweep(executor="ray", jobs=1)
    with make_executor(sweep, toy_context(), None, pytest.fail) as executor:
        assert isinstance(executor, LocalExecutor)
