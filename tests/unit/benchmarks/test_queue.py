import asyncio

from benchmarks.fake_aws.queue import Queue, Wanted

LONG = 20.0


def test_a_poll_that_is_ended_answers_nothing_and_takes_no_later_message() -> None:
    async def scene() -> tuple[object, int, int]:
        queue = Queue("q", asyncio.get_running_loop())
        poll = queue.receive(Wanted(most=10, visibility_seconds=30), LONG)
        assert isinstance(poll, asyncio.Future)
        queue.end_polls()
        queue.send("body")
        queue.wake()
        return await poll, queue.visible, queue.account["empty receives"]

    assert asyncio.run(scene()) == ({}, 1, 1)
