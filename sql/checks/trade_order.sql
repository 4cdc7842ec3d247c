-- check: trade_order
-- version: 1
-- severity: error
-- reads: trades
-- reach: series
-- repair: refetch
-- parameters: slack_s = 1: seconds by which times of neighbouring ids may be swapped
-- returns: one row a file whose times go back from one row to the next, an error; and one row a file
--      whose ids go back while time goes on by more than the slack, a warning, or information where
--      that is so often that the venue's ids do not tell the order
-- blind to: trades without integer ids as far as those are concerned
-- why: readers take files for sorted by time and skip what lies outside of their range; an id that is
--      far from its time is a trade with a wrong time, or of another instrument
with files as (
    select
        file_number,
        series_id,
        venue,
        instrument
    from checked_files
    where data_type = 'trades'
),

rows_and_before as (
    select
        file_number,
        place,
        ts,
        trade_id,
        lag(file_number) over () as file_before,
        lag(place) over () as place_before,
        lag(ts) over () as ts_before,
        lag(trade_id) over () as id_before
    from checked_trade_places
),

steps as (
    select
        file_number,
        file_before,
        ts,
        ts_before,
        trade_id,
        id_before,
        ts < ts_before as goes_back
    from rows_and_before
    where (file_number = file_before and place = place_before + 1 and ts < ts_before)
        or (
            trade_id < id_before
            and ts > ts_before + to_microseconds(
                (coalesce(getvariable('slack_s')::double, 1) * 1000000)::bigint
            )
            and (
                (file_number = file_before and place = place_before + 1)
                or (file_number = file_before + 1 and place = 0)
            )
        )
),

runs as (
    select
        files.venue,
        files.instrument,
        steps.file_number,
        steps.goes_back,
        min(least(steps.ts, steps.ts_before)) as start_ts,
        max(greatest(steps.ts, steps.ts_before)) as last_ts,
        count(*) as rows,
        arg_min(steps, steps.ts) as first
    from steps
    inner join files on steps.file_number = files.file_number
    left join files as before on steps.file_before = before.file_number
    where files.series_id = before.series_id
    group by files.venue, files.instrument, steps.file_number, steps.goes_back
),

sizes as (
    select
        file_number,
        rows
    from checked_files
    where data_type = 'trades'
)

select
    'trades' as data_type,
    runs.venue,
    runs.instrument,
    null::varchar as timeframe,
    runs.start_ts,
    runs.last_ts + interval 1 microsecond as end_ts,
    runs.rows,
    if(
        runs.goes_back,
        concat(
            'times go back ', runs.rows, ' times inside the file, first from ', runs.first.ts_before,
            ' to ', runs.first.ts
        ),
        concat(
            'ids go back ', runs.rows, ' times while time goes on, first from ',
            runs.first.id_before, ' to ', runs.first.trade_id, ' at ', runs.first.ts
        )
    ) as detail,
    case
        when runs.goes_back then 'error'
        when runs.rows > 0.01 * sizes.rows + 3 then 'info'
        else 'warning'
    end as severity
from runs
inner join sizes on runs.file_number = sizes.file_number
order by runs.venue, runs.instrument, timeframe, start_ts;
