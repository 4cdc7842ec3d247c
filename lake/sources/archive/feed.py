"""What a reader of an exchange's recorded messages is, and what it makes of them.

A new exchange is one module with one class that has these members, listed in
:mod:`lake.sources.archive.recordings`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple, Protocol

from lake.domain.identifiers import DataType, Instrument
from lake.sources.archive.book_builder import BookEvent, Continuity
from lake.sources.archive.mapping import Unit

Json = Any


class Frame(NamedTuple):
    """One recorded message; a tuple, since a day has millions of them.

    Attributes:
        line: Where it stands in the file, from 1.
        received_us: When, by the recorder's clock.
        connection: Which one it came through; empty where the recording does not say.
        url: What it is the answer to; empty for messages of a stream.
        body: What it says; None where a connection begins.
    """

    line: int
    received_us: int
    connection: str
    url: str
    body: Json


class Kind(Enum):
    """What a stream's messages are."""

    SINGLE = "single"
    AGGREGATE = "aggregate"
    CHANGES = "changes"
    """A whole book, then what changes in it."""
    BOOKS = "books"
    """Whole books."""

    @property
    def data_type(self) -> DataType:
        is_trades = self in (Kind.SINGLE, Kind.AGGREGATE)
        return DataType.TRADES if is_trades else DataType.ORDERBOOK


@dataclass(frozen=True, slots=True)
class Stream:
    """One series that a recording holds: the venue's own symbol, and what of it."""

    symbol: str
    kind: Kind

    def __str__(self) -> str:
        return f"{self.symbol} {self.kind.value}"


class RecordedTrade(NamedTuple):
    """A trade as a message tells it, its quantity as the venue counts it.

    ``taker`` is 1 where the taker bought, -1 where it sold, None where nothing is said.
    """

    ts_us: int
    trade_id: int
    price: float
    quantity: float
    taker: int | None
    received_us: int
    first_id: int | None = None
    last_id: int | None = None
    raw: Json = None


class Feed(Protocol):
    """Reads the messages of one exchange in one pass over a file; it may keep state meanwhile."""

    @property
    def levels(self) -> int | None:
        """How many levels a side its books have; None where they are whole."""

    @property
    def continuity(self) -> Continuity:
        """How changes are proved, beside what events say of faults."""

    @property
    def has_dense_ids(self) -> bool:
        """Whether the ids of a series' trades leave none out."""

    def marks(self, stream: Stream) -> tuple[bytes, ...]:
        """What some part of every line of *stream* is; empty: all lines have to be seen."""

    def streams(self, frame: Frame) -> Iterator[Stream]:
        """What *frame* is a message of, from its first look."""

    def market(self, symbol: str, hint: str | None) -> tuple[Instrument, Unit | None]:
        """What the venue calls *symbol*, and what its amounts are in (None: not known).

        Raises:
            InvalidRequest: Its name does not tell, or *hint* is another one.
        """

    def trades(self, frame: Frame, stream: Stream) -> Iterator[RecordedTrade]:
        """The trades of *stream* in *frame*.

        Raises:
            ValueError, KeyError, TypeError, IndexError: It is no such message.
        """

    def books(self, frame: Frame, stream: Stream) -> Iterator[BookEvent]:
        """The events of the book of *stream* that *frame* brings.

        Raises:
            ValueError, KeyError, TypeError, IndexError: It is no such message.
        """


def levels_of(rows: Json) -> list[tuple[float, float]]:
    """Price and quantity of levels that are lists which begin with them."""
    return [(float(row[0]), float(row[1])) for row in rows]
