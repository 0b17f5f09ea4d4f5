from autocompress.executors.ray.files import Courier
from autocompress.executors.ray.tasks import Tasks
from autocompress.explore.record import Status
from autocompress.testing.executors import toy_job


def test_a_task_that_was_given_up_is_no_longer_there(tmp_path):
    tasks = Tasks(Courier(tmp_path, None), elsewhere=False)
    task = tasks.add(toy_job(0, tmp_path))
    assert task in tasks
    (event,) = tasks.failed(task, Status.TIMEOUT, "no result within 1 s", 1.0)
    assert event.result.status is Status.TIMEOUT
    assert task not in tasks
    assert tasks.add(toy_job(0, tmp_path)) in tasks  # another attempt by that number is another
    assert task not in tasks
