"""Venues, instruments, their sizes over time, and the spans in which they were listed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from lake.domain.identifiers import Instrument, InstrumentId, InstrumentKind, Venue
from lake.domain.times import to_us
from lake.storage.connection import Database, Row, Transaction
from lake.storage.records import Listing, moment_or_none, us_or_none

_COLUMNS = (
    "venue, code, symbol, native_id, kind, base, quote, settle, "
    "tick_size, lot_size, contract_size, active"
)


class Instruments:
    """What can be traded where, as the venues last said it."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    def upsert_instruments(
        self, instruments: list[Instrument], *, fetched_at: datetime | None = None
    ) -> list[Instrument]:
        """Store *instruments*; those of the same venue and code are brought up to date.

        Two symbols of a venue can make the same code (``A/BUSD`` and ``AB/USD``). The code
        stays with the one that has it, else goes to the active one, else to the first symbol.

        Args:
            instruments: Of one or several venues.
            fetched_at: When the venue's whole market list was asked for, if it was.

        Returns:
            Those not stored because their code belongs to another symbol. Asking for one of
            them must be an error that names both.
        """
        now = self._clock() if fetched_at is None else fetched_at
        with self._database.writing() as transaction:
            for venue in sorted({each.venue for each in instruments}):
                transaction.run(
                    "insert into venues values (?, ?) on conflict (venue) do update set "
                    "markets_fetched_at = ifnull(excluded.markets_fetched_at, markets_fetched_at)",
                    (venue.name, us_or_none(fetched_at)),
                )
            wanted, refused = _without_clashes(instruments, _owners(transaction))
            sizes = _open_sizes(transaction)
            transaction.run_many(
                f"insert into instruments ({_COLUMNS}, updated_at) "
                "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
                "on conflict (venue, code) do update set symbol = excluded.symbol, "
                "native_id = excluded.native_id, kind = excluded.kind, base = excluded.base, "
                "quote = excluded.quote, settle = excluded.settle, "
                "tick_size = excluded.tick_size, lot_size = excluded.lot_size, "
                "contract_size = excluded.contract_size, active = excluded.active, "
                "updated_at = excluded.updated_at",
                [(*_row(each), to_us(now)) for each in wanted],
            )
            for each in wanted:
                _note_sizes(transaction, each, sizes.get((each.venue.name, each.code)), to_us(now))
        return refused

    def instrument(self, instrument_id: InstrumentId) -> Instrument | None:
        """The instrument of that id; None when the venue's list, as last fetched, lacks it."""
        row = self._database.read_one(
            f"select {_COLUMNS} from instruments where venue = ? and code = ?",
            (instrument_id.venue.name, instrument_id.symbol),
        )
        return None if row is None else _instrument(row)

    def instruments(self, venue: Venue | None = None) -> list[Instrument]:
        """Every instrument, of one venue or of all, by venue and code."""
        where, bindings = ("where venue = ?", (venue.name,)) if venue else ("", ())
        rows = self._database.read(
            f"select {_COLUMNS} from instruments {where} order by venue, code", bindings
        )
        return [_instrument(row) for row in rows]

    def markets_fetched_at(self, venue: Venue) -> datetime | None:
        """When the venue's whole market list was last stored."""
        row = self._database.read_one(
            "select markets_fetched_at from venues where venue = ?", (venue.name,)
        )
        return None if row is None else moment_or_none(row[0])

    def set_listing(
        self,
        instrument_id: InstrumentId,
        listed_from: datetime | None,
        listed_to: datetime | None,
        evidence: str,
    ) -> None:
        """Note a span in which the instrument traded; one that overlaps it is replaced.

        A span that overlaps none is a second listing.
        """
        start, end = us_or_none(listed_from), us_or_none(listed_to)
        name = (instrument_id.venue.name, instrument_id.symbol)
        with self._database.writing() as transaction:
            transaction.run(
                "delete from listings where venue = ? and instrument = ? "
                "and (listed_from is null or ? is null or listed_from < ?) "
                "and (listed_to is null or ? is null or listed_to > ?)",
                (*name, end, end, start, start),
            )
            transaction.run(
                "insert into listings (venue, instrument, listed_from, listed_to, evidence) "
                "values (?, ?, ?, ?, ?)",
                (*name, start, end, evidence),
            )

    def listings(self, instrument_id: InstrumentId) -> list[Listing]:
        """The spans in which the instrument traded, as far as they are known, ascending."""
        rows = self._database.read(
            "select listed_from, listed_to, evidence from listings "
            "where venue = ? and instrument = ? order by listed_from",
            (instrument_id.venue.name, instrument_id.symbol),
        )
        return [
            Listing(moment_or_none(start), moment_or_none(end), evidence)
            for start, end, evidence in rows
        ]


_Key = tuple[str, str]
_Sizes = tuple[float | None, float | None, float | None]


def _without_clashes(
    instruments: Iterable[Instrument], owners: dict[_Key, str]
) -> tuple[list[Instrument], list[Instrument]]:
    wanted: list[Instrument] = []
    refused: list[Instrument] = []
    for each in sorted(instruments, key=lambda each: (not each.active, each.symbol)):
        owner = owners.setdefault((each.venue.name, each.code.upper()), each.symbol)
        (wanted if owner == each.symbol else refused).append(each)
    return wanted, refused


def _owners(transaction: Transaction) -> dict[_Key, str]:
    rows = transaction.rows("select venue, code, symbol from instruments")
    return {(venue, code.upper()): symbol for venue, code, symbol in rows}


def _open_sizes(transaction: Transaction) -> dict[_Key, _Sizes]:
    rows = transaction.rows(
        "select venue, code, tick_size, lot_size, contract_size from instrument_sizes "
        "where valid_to is null"
    )
    return {(row[0], row[1]): (row[2], row[3], row[4]) for row in rows}


def _note_sizes(
    transaction: Transaction, instrument: Instrument, known: _Sizes | None, now: int
) -> None:
    """Close the sizes that are no longer true. The first that we ever see hold since 1970."""
    sizes = (instrument.tick_size, instrument.lot_size, instrument.contract_size)
    if sizes == known:
        return
    name = (instrument.venue.name, instrument.code)
    if known is not None:
        transaction.run(
            "update instrument_sizes set valid_to = ? "
            "where venue = ? and code = ? and valid_to is null",
            (now, *name),
        )
    transaction.run(
        "insert or replace into instrument_sizes values (?, ?, ?, null, ?, ?, ?)",
        (*name, 0 if known is None else now, *sizes),
    )


def _row(each: Instrument) -> Row:
    return (
        each.venue.name,
        each.code,
        each.symbol,
        each.native_id,
        each.kind.value,
        each.base,
        each.quote,
        each.settle,
        each.tick_size,
        each.lot_size,
        each.contract_size,
        int(each.active),
    )


def _instrument(row: Row) -> Instrument:
    venue, code, symbol, native_id, kind, base, quote, settle, tick, lot, contract, active = row
    return Instrument(
        venue=Venue(venue),
        code=code,
        symbol=symbol,
        native_id=native_id,
        kind=InstrumentKind(kind),
        base=base,
        quote=quote,
        settle=settle,
        tick_size=tick,
        lot_size=lot,
        contract_size=contract,
        active=bool(active),
    )
