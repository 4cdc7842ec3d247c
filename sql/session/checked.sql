-- session: checked
-- version: 1
-- dialect: duckdb
-- reads: the files that scope.sql chose
-- makes: checked_{kind}: the rows of {kind} that a check looks at; candles of all timeframes, told
--      apart by `timeframe`
create or replace view checked_{kind} as
from query(
    if(
        coalesce(len(getvariable('check_files_{kind}')), 0) = 0,
        'from lake_{shape}_none',
        concat(
            'from lake_{shape}_',
            if(getvariable('lake_mixed_{kind}'), 'mixed', 'rows'),
            '(getvariable(''check_files_{kind}''), ''',
            coalesce(getvariable('check_since')::timestamp::varchar, '-infinity'),
            ''', ''',
            coalesce(
                (getvariable('check_until')::timestamp - interval 1 microsecond)::varchar,
                'infinity'
            ),
            ''', ''*'')'
        )
    )
);
