import signal
import threading

import pytest

from autocompress.interrupts import remembered

# Python tells of an exception that it drops
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class Swallows:
    """An interrupt that comes while this is destroyed is dropped."""

    def __init__(self, number):
        self.number = number

    def __del__(self):
        signal.raise_signal(self.number)


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def number(request):
    """A signal with Python's handler of Ctrl-C."""
    before = signal.signal(request.param, signal.default_int_handler)
    yield request.param
    signal.signal(request.param, before)


def test_one_that_was_dropped_is_raised_at_the_next_look(number):
    with remembered() as check:
        check()
        Swallows(number)
        with pytest.raises(KeyboardInterrupt):
            check()
    assert signal.getsignal(number) is signal.default_int_handler


def test_one_that_came_after_the_last_look_counts_too(number):
    with pytest.raises(KeyboardInterrupt), remembered():
        Swallows(number)


def test_signals_that_are_ignored_stay_so(number):
    signal.signal(number, signal.SIG_IGN)
    with remembered() as check:
        signal.raise_signal(number)
        check()
    assert signal.getsignal(number) is signal.SIG_IGN


def test_handlers_that_do_something_else_are_left_to_it(number):
    heard = []
    signal.signal(number, lambda *what: heard.append(what[0]))
    with remembered() as check:
        signal.raise_signal(number)
        check()
    assert heard == [number]


def test_in_other_threads_nothing_is_remembered(number):
    ends = []

    def work():
        with remembered() as check:
            check()
            ends.append(signal.getsignal(number))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ends == [signal.default_int_handler]
