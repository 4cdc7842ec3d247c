"""The interval of a perpetual that is running now: what is predicted, and when it settles.

It is not a row of ``funding_rates``: a row is a settlement, whose rate is known. Mark and index
price are those of now and not of any settlement, so they are not put beside one either. Who
records live keeps the value as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lake.domain.identifiers import InstrumentId
from lake.domain.times import epoch_us, from_us
from lake.errors import SourceError
from lake.sources.decode import as_integer, as_number, refused

# As of a settled rate: no venue's cap comes near the whole position.
_MOST_RATE = 1.0


@dataclass(frozen=True, slots=True)
class FundingNow:
    """What a venue says of the running interval; None where it does not say.

    Attributes:
        instrument_id: The perpetual.
        received_at: The venue's time when the answer came (naive UTC).
        predicted_rate: Fraction of the interval, as of now.
        next_funding_time: When it settles.
        mark_price, index_price: Of now.
    """

    instrument_id: InstrumentId
    received_at: datetime
    predicted_rate: float
    next_funding_time: datetime | None
    mark_price: float | None
    index_price: float | None


def read_funding_now(answer: Any, of: InstrumentId, *, received_at: datetime) -> FundingNow:
    """The running interval in an answer of ccxt's ``fetch_funding_rate``.

    Raises:
        SourceError: It is none, or a value is not possible (retryable).
    """
    if not isinstance(answer, dict):
        raise refused(repr(answer).encode(), "is not a funding rate")
    rate = as_number(answer.get("fundingRate"))
    # NaN fails every comparison.
    if rate is None or not abs(rate) < _MOST_RATE:
        raise _odd(of, "rate", answer.get("fundingRate"))
    time = answer.get("fundingTimestamp")
    if time is None:
        time = answer.get("nextFundingTimestamp")
    milliseconds = as_integer(time)
    if time is not None and (milliseconds is None or milliseconds <= 0):
        raise _odd(of, "time", time)
    return FundingNow(
        of,
        received_at,
        rate,
        None if milliseconds is None else from_us(epoch_us(milliseconds)),
        _price(answer, "markPrice", of),
        _price(answer, "indexPrice", of),
    )


def _price(answer: dict[str, Any], name: str, of: InstrumentId) -> float | None:
    if answer.get(name) is None:
        return None
    price = as_number(answer[name])
    if price is None or not 0 < price < float("inf"):
        raise _odd(of, name, answer[name])
    return price


def _odd(of: InstrumentId, what: str, value: Any) -> SourceError:
    return SourceError(
        f"The running funding of {of} was asked for, but its {what} is {value!r}.", retryable=True
    )
