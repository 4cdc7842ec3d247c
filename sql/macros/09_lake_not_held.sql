-- macro: lake_not_held
-- version: 2
-- dialect: duckdb
-- parameters: kind (varchar): a data type; patterns (varchar[]), name (varchar): what was asked for
-- returns: a message that says what is held and looks most like it
create or replace macro lake_not_held(kind, patterns, name) as (
    concat(
        'lake: no ',
        nullif(name, '') || ' ',
        case kind when 'ohlcv' then 'candles' else replace(kind, '_', ' ') end,
        ' of ',
        array_to_string(patterns, ', '),
        ' are held. ',
        case
            when coalesce(getvariable('lake_' || kind), '') = '' then
                concat(
                    'The lake holds no ',
                    case kind when 'ohlcv' then 'candles' else replace(kind, '_', ' ') end,
                    ' yet.'
                )
            else
                'Near: ' || array_to_string(
                    list_transform(
                        list_reverse_sort(
                            list_transform(
                                string_split(getvariable('lake_' || kind), chr(10))[2:],
                                lambda line: {
                                    'likeness': jaro_winkler_similarity(
                                        concat(patterns[1], ' ', name),
                                        string_split(line, chr(9))[1]
                                    ),
                                    'key': trim(string_split(line, chr(9))[1])
                                }
                            )
                        )[:5],
                        lambda near: near['key']
                    ),
                    ', '
                ) || '.'
        end
    )
);
