-- check: trade_gaps
-- version: 1
-- severity: error
-- reads: trades
-- reach: series
-- repair: refetch
-- parameters: dense_venues = BINANCE BINANCEUSDM BINANCECOINM: venues whose trade ids have no holes
-- returns: one row a run of ids that are not held, between the two trades beside it. An error where
--      coverage promises all trades between those two; a warning where it does not, or where the
--      venue's single trades lack those that it hands to its insurance fund; information where
--      nobody asked, or the venue confirmed that it has none (a note absent_ids). And one row a file
--      whose aggregates leave fills out although no aggregate is missing
-- blind to: series of other venues and of derived ids, what lies before the first and after the last
--      id (see trade_coverage), and a trade replaced by another one of the same id
-- why: where ids are dense they prove that nothing was lost, and nothing else does. Ids are folded
--      into masks of 64, so a hundred million take tens of megabytes and are not sorted
with files as (
    select
        file_number,
        series_id,
        venue,
        instrument,
        variant
    from checked_files
    where data_type = 'trades'
        and variant in ('single/venue', 'aggregate/venue')
        and list_contains(
            string_split(
                coalesce(
                    getvariable('dense_venues')::varchar,
                    'BINANCE BINANCEUSDM BINANCECOINM'
                ),
                ' '
            ),
            venue
        )
),

parts as (
    select
        file_number,
        trade_id >> 6 as bucket,
        bit_or(1::ubigint << (trade_id & 63)::ubigint) as mask,
        min(trade_id) as first_id,
        max(trade_id) as last_id
    from checked_trade_places
    where trade_id is not null
    group by file_number, bucket
),

buckets as (
    select
        files.series_id,
        parts.bucket,
        bit_or(parts.mask) as mask,
        min(parts.first_id) as first_id,
        max(parts.last_id) as last_id
    from parts
    inner join files on parts.file_number = files.file_number
    group by files.series_id, parts.bucket
),

between_buckets as (
    select
        series_id,
        last_id as after_id,
        lead(first_id) over (
            partition by series_id
            order by bucket
        ) as before_id
    from buckets
),

held_ids as (
    select
        series_id,
        bucket,
        unnest(
            list_filter(
                range(first_id, last_id + 1),
                lambda id: (mask >> (id & 63)::ubigint) & 1::ubigint = 1
            )
        ) as id
    from buckets
    where bit_count(mask) < last_id - first_id + 1
),

inside_buckets as (
    select
        series_id,
        id as after_id,
        lead(id) over (
            partition by series_id, bucket
            order by id
        ) as before_id
    from held_ids
),

holes as (
    select series_id, after_id, before_id
    from between_buckets
    where before_id > after_id + 1

    union all

    select series_id, after_id, before_id
    from inside_buckets
    where before_id > after_id + 1
),

edges as (
    select series_id, after_id as id
    from holes

    union

    select series_id, before_id as id
    from holes
),

moments as (
    select
        edges.series_id,
        edges.id,
        min(places.ts) as ts
    from checked_trade_places as places
    inner join edges on places.trade_id = edges.id
    inner join files
        on places.file_number = files.file_number
        and edges.series_id = files.series_id
    group by edges.series_id, edges.id
),

timed as (
    select
        holes.series_id,
        holes.after_id,
        holes.before_id,
        least(earlier.ts, later.ts) as start_ts,
        greatest(earlier.ts, later.ts) as last_ts
    from holes
    inner join moments as earlier
        on holes.series_id = earlier.series_id
        and holes.after_id = earlier.id
    inner join moments as later
        on holes.series_id = later.series_id
        and holes.before_id = later.id
),

ranges as (
    select
        series_id,
        start_time,
        end_time,
        basis <> 'rows_only' as promises,
        coalesce(
            start_time > max(end_time) over (
                partition by series_id, basis <> 'rows_only'
                order by start_time
                rows between unbounded preceding and 1 preceding
            ),
            true
        ) as is_new
    from checked_coverage
    where data_type = 'trades'
),

numbered as (
    select
        ranges.*,
        sum(is_new::integer) over (
            partition by series_id, promises
            order by start_time
            rows between unbounded preceding and current row
        ) as island
    from ranges
),

islands as (
    select
        series_id,
        promises,
        min(start_time) as start_time,
        max(end_time) as end_time
    from numbered
    group by series_id, promises, island
),

covered as (
    select
        timed.series_id,
        timed.after_id,
        bool_or(islands.promises) as promises
    from timed
    inner join islands
        on timed.series_id = islands.series_id
        and timed.start_ts >= islands.start_time
        and timed.last_ts < islands.end_time
    group by timed.series_id, timed.after_id
),

confirmed as (
    select
        series_id,
        make_timestamp(ts) as ts,
        regexp_extract_all(text, '\d+')[1]::bigint as first_id,
        regexp_extract_all(text, '\d+')[-1]::bigint as last_id
    from lake.notes
    where kind = 'absent_ids'
),

explained as (
    select
        timed.series_id,
        timed.after_id,
        sum(
            least(confirmed.last_id, timed.before_id - 1)
            - greatest(confirmed.first_id, timed.after_id + 1) + 1
        ) as ids
    from timed
    inner join confirmed
        on timed.series_id = confirmed.series_id
        and confirmed.first_id < timed.before_id
        and confirmed.last_id > timed.after_id
    group by timed.series_id, timed.after_id
),

missing as (
    select
        timed.series_id,
        timed.start_ts,
        greatest(timed.last_ts, timed.start_ts + interval 1 microsecond) as end_ts,
        timed.after_id,
        timed.before_id,
        timed.before_id - timed.after_id - 1 as rows,
        case
            when explained.ids >= timed.before_id - timed.after_id - 1 then 'confirmed'
            when covered.promises then 'promised'
            when covered.promises is not null then 'imported'
            else 'not asked'
        end as what
    from timed
    left join covered
        on timed.series_id = covered.series_id
        and timed.after_id = covered.after_id
    left join explained
        on timed.series_id = explained.series_id
        and timed.after_id = explained.after_id
),

fills as (
    select
        file_number,
        min(ts) as start_ts,
        max(ts) + interval 1 microsecond as end_ts,
        max(last_trade_id) - min(first_trade_id) + 1 as expected,
        sum(last_trade_id - first_trade_id + 1)::bigint as held
    from checked_trade_places
    group by file_number
    having count(first_trade_id) = count(*)
        and max(trade_id) - min(trade_id) + 1 = count(*)
),

violations as (
    select
        series.data_type,
        series.venue,
        series.instrument,
        series.timeframe,
        missing.start_ts,
        missing.end_ts,
        missing.rows,
        concat(
            'ids ', missing.after_id + 1, ' to ', missing.before_id - 1, ' are not held: ',
            case
                when missing.what = 'confirmed' then 'the venue confirmed that it has none'
                when missing.what = 'promised'
                    and series.variant = 'single/venue'
                    and series.venue <> 'BINANCE'
                    then 'coverage promises all trades, but futures leave out those of the '
                        || 'insurance fund'
                when missing.what = 'promised' then 'coverage promises all trades here'
                when missing.what = 'imported' then 'an import that promises nothing lacks them'
                else 'nobody promises all trades here'
            end
        ) as detail,
        case
            when missing.what in ('confirmed', 'not asked') then 'info'
            when missing.what = 'imported' then 'warning'
            when series.variant = 'single/venue' and series.venue <> 'BINANCE' then 'warning'
            else 'error'
        end as severity
    from missing
    inner join checked_series as series on missing.series_id = series.series_id

    union all

    select
        'trades' as data_type,
        files.venue,
        files.instrument,
        null as timeframe,
        fills.start_ts,
        fills.end_ts,
        abs(fills.expected - fills.held) as rows,
        if(
            fills.held < fills.expected,
            concat(
                fills.expected - fills.held, ' fills are in no aggregate, though no aggregate is ',
                'missing'
            ),
            concat(fills.held - fills.expected, ' fills are in two aggregates')
        ) as detail,
        if(fills.held < fills.expected, 'info', 'warning') as severity
    from fills
    inner join files on fills.file_number = files.file_number
    where fills.held <> fills.expected
        and files.variant = 'aggregate/venue'
)

select data_type, venue, instrument, timeframe, start_ts, end_ts, rows, detail, severity
from violations
order by venue, instrument, timeframe, start_ts;
