"""What is looked at now and then."""

import threading

from worker_kvm.poller import Poller


def test_rounds_are_made_at_once_and_again_until_they_are_closed_whatever_fails() -> None:
    looked = threading.Semaphore(0)

    def fail() -> None:
        raise ValueError("as a test")

    never_begun = Poller((fail,), period_s=0.001)
    never_begun.close()
    rounds = Poller((fail, looked.release), period_s=0.001)
    rounds.start()
    assert looked.acquire(timeout=60)
    assert looked.acquire(timeout=60)
    rounds.close()
