-- check: trade_bounds
-- version: 1
-- severity: error
-- reads: trades
-- reach: series
-- repair: refetch
-- parameters: none
-- returns: one row a run of neighbouring trades that cannot be: price or quantity not a number, not
--      finite or not above zero, a side that is neither buy nor sell nor unknown, no id of any kind,
--      or fills that end before they begin
-- blind to: a price that is possible and wrong
-- why: such rows are refused when they arrive, so one that is stored was altered, or our own fault
with wrong as (
    select
        file_number,
        place,
        ts,
        case
            when not coalesce(price > 0 and isfinite(price), false) then concat('price ', price)
            when not coalesce(quantity > 0 and isfinite(quantity), false)
                then concat('quantity ', quantity)
            when side not in ('buy', 'sell') then concat('side ', side)
            when trade_id is null and trade_ref is null then 'no id'
            else concat('fills ', first_trade_id, ' to ', last_trade_id)
        end as fault
    from checked_trade_places
    where not (price > 0 and isfinite(price) and quantity > 0 and isfinite(quantity))
        or side not in ('buy', 'sell')
        or first_trade_id > last_trade_id
        or (trade_id is null and trade_ref is null)
        or price is null
        or quantity is null
),

numbered as (
    select
        wrong.*,
        place - row_number() over (
            partition by file_number
            order by place
        ) as run
    from wrong
),

runs as (
    select
        file_number,
        run,
        min(ts) as start_ts,
        max(ts) as last_ts,
        count(*) as rows,
        arg_min(fault, place) as fault
    from numbered
    group by file_number, run
)

select
    'trades' as data_type,
    files.venue,
    files.instrument,
    null::varchar as timeframe,
    runs.start_ts,
    runs.last_ts + interval 1 microsecond as end_ts,
    runs.rows,
    concat(runs.fault, if(runs.rows > 1, concat(', and ', runs.rows - 1, ' more in a row'), ''))
        as detail
from runs
inner join checked_files as files
    on files.data_type = 'trades'
    and runs.file_number = files.file_number
order by files.venue, files.instrument, timeframe, runs.start_ts;
