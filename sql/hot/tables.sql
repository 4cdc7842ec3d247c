-- hot: tables
-- version: 1
-- dialect: sqlite
-- why: the newest rows of every series, for look-ups by an engine in well under a millisecond
-- Everything here can be made again from the Parquet files at any time, and is, where the
-- version above is another than the file's user_version.
-- Every moment is an integer: microseconds since 1970, UTC. Lists of a book are blobs of doubles,
-- little-endian. Whose rows they are says hot_series; its ids mean nothing outside of this file.

create table hot_settings (
    -- How many of the newest rows are kept of each series; 0 keeps none.
    rows integer not null
) strict;

insert into hot_settings values (1000);

create table hot_series (
    series_id integer primary key,
    data_type text not null,
    venue text not null,
    instrument text not null,
    timeframe text,
    rows integer not null,
    -- Whether these are all rows that the series has.
    is_whole integer not null check (is_whole in (0, 1)),
    -- Start of the range of the oldest file that they are from.
    range_start integer not null,
    -- The files that they are from: path:generation:sha256, ascending, a line each. They are the
    -- newest rows only while the catalog says the same of the series from range_start on.
    files text not null
) strict;

create unique index hot_series_identity
on hot_series (data_type, venue, instrument, ifnull(timeframe, ''));

create table ohlcv_data (
    series_id integer not null,
    ts integer not null,
    open real not null,
    high real not null,
    low real not null,
    close real not null,
    volume real not null,
    quote_volume real,
    trade_count integer,
    taker_buy_volume real,
    taker_buy_quote_volume real,
    primary key (series_id, ts)
) strict, without rowid;

-- Trades and books may share a moment: position counts the rows of a series in their order.
create table trade_data (
    series_id integer not null,
    ts integer not null,
    position integer not null,
    trade_id integer,
    trade_ref text,
    price real not null,
    quantity real not null,
    side text,
    first_trade_id integer,
    last_trade_id integer,
    received_at integer,
    primary key (series_id, ts, position)
) strict, without rowid;

create table orderbook_data (
    series_id integer not null,
    ts integer not null,
    position integer not null,
    sequence integer,
    best_bid real,
    best_bid_quantity real,
    best_ask real,
    best_ask_quantity real,
    bid_prices blob not null,
    bid_quantities blob not null,
    ask_prices blob not null,
    ask_quantities blob not null,
    received_at integer,
    primary key (series_id, ts, position)
) strict, without rowid;

create table funding_rate_data (
    series_id integer not null,
    ts integer not null,
    settled_at integer,
    funding_rate real not null,
    interval_hours real,
    predicted_rate real,
    next_funding_time integer,
    mark_price real,
    index_price real,
    primary key (series_id, ts)
) strict, without rowid;
