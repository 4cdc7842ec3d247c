-- check: book_sequence
-- version: 1
-- severity: warning
-- reads: orderbook
-- reach: series
-- parameters: times_usual = 100: so many times the usual rate of changes is told as a jump
-- returns: one row a file and kind: sequences that go back from one book to the next while time goes
--      on; books of one sequence that differ (of such as do not: information); and, as information,
--      jumps of the sequence that are far above what the series shows in the same time
-- blind to: venues that number no books; a venue may begin to count anew when it restarts
-- why: a book under an old number was taken from a lagging machine and shows a market that is gone
with rows_and_before as (
    select
        file_number,
        place,
        ts,
        sequence,
        best_bid,
        best_bid_quantity,
        best_ask,
        best_ask_quantity,
        lag(file_number) over () as file_before,
        lag(place) over () as place_before,
        lag(ts) over () as ts_before,
        lag(sequence) over () as sequence_before,
        lag(best_bid) over () as bid_before,
        lag(best_bid_quantity) over () as bid_quantity_before,
        lag(best_ask) over () as ask_before,
        lag(best_ask_quantity) over () as ask_quantity_before
    from checked_book_places
),

files as (
    select
        file_number,
        series_id,
        venue,
        instrument
    from checked_files
    where data_type = 'orderbook'
),

steps as (
    select
        files.series_id,
        files.venue,
        files.instrument,
        rows_and_before.file_number,
        ts,
        ts_before,
        sequence,
        sequence_before,
        (sequence - sequence_before) * 1000000.0 / (epoch_us(ts) - epoch_us(ts_before)) as rate,
        sequence = sequence_before as is_repeated,
        best_bid is not distinct from bid_before
            and best_bid_quantity is not distinct from bid_quantity_before
            and best_ask is not distinct from ask_before
            and best_ask_quantity is not distinct from ask_quantity_before as is_same
    from rows_and_before
    inner join files on rows_and_before.file_number = files.file_number
    where rows_and_before.file_number = file_before
        and place = place_before + 1
        and ts > ts_before
        and sequence is not null
        and sequence_before is not null
),

usual as (
    select
        series_id,
        approx_quantile(rate, 0.5) as rate
    from steps
    where sequence > sequence_before
    group by series_id
),

odd as (
    select
        steps.*,
        case
            when steps.sequence < steps.sequence_before then 'back'
            when steps.is_repeated and not steps.is_same then 'differ'
            when steps.is_repeated then 'same'
            else 'jump'
        end as kind
    from steps
    left join usual on steps.series_id = usual.series_id
    where steps.sequence <= steps.sequence_before
        or steps.rate > usual.rate * coalesce(getvariable('times_usual')::double, 100)
),

told as (
    select
        venue,
        instrument,
        file_number,
        kind,
        min(ts_before) as start_ts,
        max(ts) as last_ts,
        count(*) as rows,
        arg_min(odd, ts) as first
    from odd
    group by venue, instrument, file_number, kind
)

select
    'orderbook' as data_type,
    venue,
    instrument,
    null::varchar as timeframe,
    start_ts,
    last_ts + interval 1 microsecond as end_ts,
    rows,
    concat(
        case kind
            when 'back' then 'the sequence goes back while time goes on'
            when 'differ' then 'books that differ have one sequence'
            when 'same' then 'a book that did not change is stored again'
            else 'the sequence jumps'
        end,
        ', ', rows, ' times, first from ', first.sequence_before, ' to ', first.sequence, ' at ',
        first.ts
    ) as detail,
    if(kind in ('back', 'differ'), 'warning', 'info') as severity
from told
order by venue, instrument, timeframe, start_ts;
