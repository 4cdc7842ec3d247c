-- check: trades_against_candles
-- version: 1
-- severity: error
-- reads: ohlcv, trades
-- reach: instrument
-- repair: refetch
-- parameters: tolerance = 0.000001: by which fraction volumes may differ, for rounding
-- returns: one row a run of candles, of the shortest timeframe held, that are not made of the trades
--      held, where those cover the candle wholly; or that are missing though there were trades
-- blind to: open and close where the venue numbers no trades: those of one moment have no order
-- why: trades are what candles are made of, so where both are held they prove each other
with shortest as (
    select
        venue,
        instrument,
        arg_min(timeframe, lake_step(timeframe)) as timeframe
    from checked_series
    where data_type = 'ohlcv'
        and lake_step(timeframe) <= 86400000000
    group by venue, instrument
),

covered as (
    select
        coverage.venue,
        coverage.instrument,
        shortest.timeframe,
        coverage.start_time,
        coverage.end_time
    from checked_coverage as coverage
    inner join shortest
        on shortest.venue = coverage.venue
        and shortest.instrument = coverage.instrument
    where coverage.data_type = 'trades'
),

-- Touching ranges cover a candle that lies in both.
whole as (
    select
        venue,
        instrument,
        timeframe,
        greatest(
            min(start_time),
            coalesce(getvariable('check_since')::timestamp, timestamp '0001-01-01')
        ) as start_time,
        least(
            max(end_time),
            coalesce(getvariable('check_until')::timestamp, timestamp '9999-01-01')
        ) as end_time
    from (
        select
            *,
            sum(if(start_time <= reached, 0, 1)) over (
                partition by venue, instrument
                order by start_time, end_time
            ) as island
        from (
            select
                *,
                max(end_time) over (
                    partition by venue, instrument
                    order by start_time, end_time
                    rows between unbounded preceding and 1 preceding
                ) as reached
            from covered
        )
    )
    group by venue, instrument, timeframe, island
),

held as (
    select
        candles.venue,
        candles.instrument,
        candles.timeframe,
        candles.ts,
        candles.open,
        candles.high,
        candles.low,
        candles.close,
        candles.volume
    from checked_ohlcv as candles
    inner join whole
        on whole.venue = candles.venue
        and whole.instrument = candles.instrument
        and whole.timeframe = candles.timeframe
        and whole.start_time <= candles.ts
        and whole.end_time >= candles.close_ts
),

made as (
    select
        trades.venue,
        trades.instrument,
        shortest.timeframe,
        lake_open(trades.ts, shortest.timeframe, trades.venue) as ts,
        arg_min(trades.price, trades.trade_id) as open,
        max(trades.price) as high,
        min(trades.price) as low,
        arg_max(trades.price, trades.trade_id) as close,
        sum(trades.quantity) as volume,
        count(*) as trades
    from checked_trades as trades
    inner join shortest
        on shortest.venue = trades.venue
        and shortest.instrument = trades.instrument
    group by all
),

-- Between the first candle and the last: what lies outside was never asked for.
bounds as (
    select
        venue,
        instrument,
        timeframe,
        min(ts) as first_ts,
        max(ts) as last_ts
    from checked_ohlcv
    where (venue, instrument, timeframe) in (
        select (venue, instrument, timeframe)
        from whole
    )
    group by venue, instrument, timeframe
),

expected as (
    select
        made.*
    from made
    inner join whole
        on whole.venue = made.venue
        and whole.instrument = made.instrument
        and whole.start_time <= made.ts
        and whole.end_time >= made.ts + lake_length(made.timeframe)
    inner join bounds
        on bounds.venue = made.venue
        and bounds.instrument = made.instrument
        and made.ts between bounds.first_ts and bounds.last_ts
),

compared as (
    select
        coalesce(held.venue, expected.venue) as venue,
        coalesce(held.instrument, expected.instrument) as instrument,
        coalesce(held.timeframe, expected.timeframe) as timeframe,
        coalesce(held.ts, expected.ts) as ts,
        case
            when held.ts is null
                then concat('no candle, though ', expected.trades, ' trades are held')
            when expected.ts is null
                then if(held.volume > 0, concat('a volume of ', held.volume, ' and no trade'), '')
            else concat_ws(
                ', ',
                case when held.open <> expected.open
                    then concat('open ', held.open, ' not ', expected.open) end,
                case when held.high <> expected.high
                    then concat('high ', held.high, ' not ', expected.high) end,
                case when held.low <> expected.low
                    then concat('low ', held.low, ' not ', expected.low) end,
                case when held.close <> expected.close
                    then concat('close ', held.close, ' not ', expected.close) end,
                case when abs(held.volume - expected.volume) > 0.00000001 * (1 + expected.trades)
                        + expected.volume * coalesce(getvariable('tolerance')::double, 0.000001)
                    then concat('volume ', held.volume, ' not ', expected.volume) end
            )
        end as differs
    from held
    full join expected
        on expected.venue = held.venue
        and expected.instrument = held.instrument
        and expected.timeframe = held.timeframe
        and expected.ts = held.ts
),

runs as (
    select
        *,
        lake_slot(epoch_us(ts), lake_step(timeframe), lake_anchor(timeframe, venue))
            - row_number() over (
                partition by venue, instrument, timeframe
                order by ts
            ) as run
    from compared
    where differs <> ''
)

select
    'ohlcv' as data_type,
    venue,
    instrument,
    timeframe,
    min(ts) as start_ts,
    max(ts) + lake_length(timeframe) as end_ts,
    count(*)::bigint as rows,
    concat(
        count(*),
        if(count(*) = 1, ' candle is', ' candles are'),
        ' not what the trades make: ',
        arg_min(differs, ts)
    ) as detail
from runs
group by venue, instrument, timeframe, run
order by venue, instrument, timeframe, start_ts;
