-- check: vwap_bounds
-- version: 1
-- severity: error
-- reads: ohlcv
-- reach: series
-- repair: refetch
-- parameters: tolerance = 0.00001: by which fraction an amount may be off, for rounding
-- returns: one row a run of neighbouring candles of one fault: quote volume over volume, the mean
--      price, lies outside of low to high, or takers bought more than was traded
-- blind to: amounts that are wrong by less than a candle's range
-- why: a quote volume in another unit looks like any other number until it is divided
with amounts as (
    select
        venue,
        instrument,
        timeframe,
        ts,
        low,
        high,
        volume,
        quote_volume,
        taker_buy_volume,
        taker_buy_quote_volume,
        1 + coalesce(getvariable('tolerance')::double, 0.00001) as most,
        -- Venues round amounts to eight digits.
        high * 0.00000002 + 0.00000002 as rounding
    from checked_ohlcv
),

wrong as (
    select
        *,
        case
            when quote_volume > high * volume * most + rounding
                or quote_volume * most + rounding < low * volume
                then 'mean price'
            when taker_buy_volume > volume * most + 0.00000002
                or taker_buy_volume < 0
                then 'bought volume'
            when taker_buy_quote_volume > quote_volume * most + rounding
                or taker_buy_quote_volume < 0
                then 'bought quote volume'
            else 'mean price of what was bought'
        end as fault,
        lake_slot(epoch_us(ts), lake_step(timeframe), lake_anchor(timeframe, venue)) as slot
    from amounts
    where quote_volume > high * volume * most + rounding
        or quote_volume * most + rounding < low * volume
        or taker_buy_volume > volume * most + 0.00000002
        or taker_buy_volume < 0
        or taker_buy_quote_volume > quote_volume * most + rounding
        or taker_buy_quote_volume < 0
        or taker_buy_quote_volume > high * taker_buy_volume * most + rounding
        or taker_buy_quote_volume * most + rounding < low * taker_buy_volume
),

runs as (
    select
        *,
        slot - row_number() over (
            partition by venue, instrument, timeframe, fault
            order by slot
        ) as run
    from wrong
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
        'the ',
        fault,
        ' of ',
        count(*),
        if(count(*) = 1, ' candle', ' candles'),
        ' cannot be: ',
        case fault
            when 'mean price' then concat(
                arg_min(quote_volume / volume, ts),
                ' outside of ',
                arg_min(low, ts),
                ' to ',
                arg_min(high, ts)
            )
            when 'bought volume' then concat(
                arg_min(taker_buy_volume, ts),
                ' of ',
                arg_min(volume, ts)
            )
            when 'bought quote volume' then concat(
                arg_min(taker_buy_quote_volume, ts),
                ' of ',
                arg_min(quote_volume, ts)
            )
            else concat(
                arg_min(taker_buy_quote_volume / taker_buy_volume, ts),
                ' outside of ',
                arg_min(low, ts),
                ' to ',
                arg_min(high, ts)
            )
        end
    ) as detail
from runs
group by venue, instrument, timeframe, fault, run
order by venue, instrument, timeframe, start_ts;
