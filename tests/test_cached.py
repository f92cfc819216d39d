"""Attributes computed once hold no lock, which a forked child would find locked for ever."""

import pickle
import threading

import fastrnn as fr
from fastrnn._cached import computed_once


class Slow:
    def __init__(self, may_end):
        self.may_end, self.begun, self.times = may_end, threading.Event(), 0

    @computed_once
    def value(self):
        """Return a value."""
        self.begun.set()
        assert self.may_end.wait(60)
        self.times += 1
        return object()


def test_it_is_computed_once_for_each_instance():
    ready = threading.Event()
    ready.set()
    one, other = Slow(ready), Slow(ready)
    assert one.value is one.value
    assert one.value is not other.value
    assert (one.times, other.times) == (1, 1)
    assert Slow.value.__doc__ == "Return a value."


def test_one_instance_does_not_wait_for_another():
    never, ready = threading.Event(), threading.Event()
    ready.set()
    blocked = Slow(never)
    thread = threading.Thread(target=lambda: blocked.value)
    thread.start()
    try:
        assert blocked.begun.wait(60)
        done = threading.Thread(target=lambda: Slow(ready).value)
        done.start()
        done.join(60)
        assert not done.is_alive()
    finally:
        never.set()
        thread.join()


def test_options_that_know_what_they_are_can_be_pickled_and_compared():
    options = fr.LSTM(2, 3, peephole=True, seed=0).options
    assert not options.plain
    again = pickle.loads(pickle.dumps(options))
    assert again == options
    assert not again.plain
