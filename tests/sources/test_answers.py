"""How often a request is repeated, also where it consists of others that are repeated."""

from __future__ import annotations

import asyncio

import pytest

from lake.errors import SourceError
from lake.sources.answers import Retry
from lake.sources.errors import Fault

QUICK = Retry(attempts=4, base_s=0)


class Down:
    """A venue that does not answer."""

    def __init__(self, *, tries: int | None = None) -> None:
        self.asked = 0
        self._tries = tries

    async def __call__(self) -> None:
        self.asked += 1
        raise Fault("no answer", retryable=True, tries=self._tries)


@pytest.mark.parametrize(("tries", "asked"), [(None, 4), (2, 2)])
def test_what_an_inner_request_gave_up_is_not_sat_out_again(tries: int | None, asked: int) -> None:
    """Twelve times twelve attempts let Ctrl-C wait for a quarter of an hour in an outage."""
    clock = Down(tries=tries)

    async def page() -> None:
        await QUICK.run(clock)

    with pytest.raises(SourceError, match="no answer"):
        asyncio.run(QUICK.run(page))

    assert clock.asked == asked


def test_an_inner_request_that_succeeds_leaves_the_outer_one_its_attempts() -> None:
    page = Down()

    async def told() -> None:
        return None

    async def once() -> None:
        await QUICK.run(told)
        await page()

    with pytest.raises(SourceError):
        asyncio.run(QUICK.run(once))

    assert page.asked == 4
