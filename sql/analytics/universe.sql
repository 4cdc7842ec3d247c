-- analytics: universe
-- version: 1
-- dialect: duckdb
-- parameters: at_venue, moment, in_quote (the quote asset; default: any)
-- returns: the instruments that could be traded at that moment: listed by then and not yet delisted
--      or expired, by what is known of their listings; with the sizes that were valid then.
--      known_from says since when; null: the venue did not say, and the instrument is taken to have
--      been there
-- example: select instrument, known_from, tick_size from universe('BINANCE', '2023-06-01', 'USDT')
-- gives: BTCUSDT | 2020-01-01 00:00:00 | 0.1
-- worked: ETHUSDT was listed on 2023-12-01, LUNAUSDT delisted on 2022-05-13, ETHBTC has another quote;
--      the tick of BTCUSDT was 0.1 until 2023-09-01
create or replace macro universe(at_venue, moment, in_quote := null) as table (
    with asked as (
        select lake_moment(moment) as at
    ),

    spans as (
        select
            listings.venue,
            listings.instrument,
            listings.listed_from,
            listings.listed_to
        from listings
    ),

    first_rows as (
        select
            series.venue,
            series.instrument,
            make_timestamp(min(series.first_available)) as first_available
        from lake.series as series
        group by series.venue, series.instrument
    ),

    known as (
        select
            instruments.venue,
            instruments.instrument,
            instruments.symbol,
            instruments.kind,
            instruments.base,
            instruments.quote,
            instruments.settle,
            coalesce(spans.listed_from, first_rows.first_available) as known_from,
            coalesce(
                spans.listed_to,
                strptime(
                    nullif(regexp_extract(instruments.instrument, '-(\d{6})(?:-|$)', 1), ''),
                    '%y%m%d'
                ) + interval 1 day,
                if(instruments.active, null, instruments.updated_at)
            ) as known_to
        from instruments
        left join spans
            on spans.venue = instruments.venue
            and spans.instrument = instruments.instrument
        left join first_rows
            on first_rows.venue = instruments.venue
            and first_rows.instrument = instruments.instrument
    )

    select
        known.venue,
        known.instrument,
        known.symbol,
        known.kind,
        known.base,
        known.quote,
        known.settle,
        known.known_from,
        known.known_to,
        sizes.tick_size,
        sizes.lot_size,
        sizes.contract_size
    from known
    cross join asked
    left join lake.instrument_sizes as sizes
        on sizes.venue = known.venue
        and sizes.code = known.instrument
        and make_timestamp(sizes.valid_from) <= asked.at
        and (sizes.valid_to is null or make_timestamp(sizes.valid_to) > asked.at)
    where known.venue = upper(at_venue)
        and (in_quote is null or known.quote = upper(in_quote))
        and (known.known_from is null or known.known_from <= asked.at)
        and (known.known_to is null or known.known_to > asked.at)
    order by known.instrument
);
