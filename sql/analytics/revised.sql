-- analytics: revised
-- version: 1
-- dialect: duckdb
-- parameters: id, timeframe; since, until
-- returns: candles that another source, or a later answer, gave other values than were held: one
--      row a candle and column that differs, what it was and what it is now, and why. Where an
--      archive replaced what the venue had answered, this is where the two disagree. Changes of
--      many candles at a time are in the files of catalog.revision_files, and not here
-- example: select ts, name, was, now_is, why from revised('BTCUSDT.BINANCE', '1m')
-- gives: 2024-01-01 00:09:00 | close | 104.0 | 105.0 | merged from example
-- gives: 2024-01-01 00:09:00 | volume | 3.0 | 1.0 | merged from example
-- worked: the lake held close 104 and volume 3 of 00:09 before the answer that it holds now
create or replace macro revised(id, timeframe, since := null, until := null) as table (
    with held as (
        select venue, instrument, ts, open, high, low, close, volume, quote_volume, trade_count
        from ohlcv(id, timeframe, since := since, until := until)
    ),

    changes as (
        select
            series.venue,
            series.instrument,
            make_timestamp(revisions.ts) as ts,
            revisions.old_row::json as old_row,
            revisions.why,
            make_timestamp(revisions.revised_at) as revised_at
        from catalog.revisions as revisions
        inner join lake.series as series on revisions.series_id = series.series_id
        where series.data_type = 'ohlcv'
          and series.timeframe = lake_timeframe(timeframe)
          and revisions.pending = 0
    ),

    pairs as (
        select
            held.venue,
            held.instrument,
            held.ts,
            changes.revised_at,
            changes.why,
            unnest([
                {'name': 'open', 'was': (old_row ->> 'open')::double, 'now_is': held.open},
                {'name': 'high', 'was': (old_row ->> 'high')::double, 'now_is': held.high},
                {'name': 'low', 'was': (old_row ->> 'low')::double, 'now_is': held.low},
                {'name': 'close', 'was': (old_row ->> 'close')::double, 'now_is': held.close},
                {'name': 'volume', 'was': (old_row ->> 'volume')::double, 'now_is': held.volume},
                {
                    'name': 'quote_volume',
                    'was': (old_row ->> 'quote_volume')::double,
                    'now_is': held.quote_volume
                },
                {
                    'name': 'trade_count',
                    'was': (old_row ->> 'trade_count')::double,
                    'now_is': held.trade_count::double
                }
            ], recursive := true)
        from held
        inner join changes
            on held.venue = changes.venue
            and held.instrument = changes.instrument
            and held.ts = changes.ts
    )

    select venue, instrument, ts, name, was, now_is, why, revised_at
    from pairs
    where was is distinct from now_is
    order by venue, instrument, ts, revised_at, name
);
