-- macro: lake_files_like
-- version: 2
-- dialect: duckdb
-- parameters: kind (varchar): a data type; patterns (varchar[]), timeframe (varchar): which series;
--      first, last (varchar): the first and the last moment wanted, as text
-- returns: the paths of the files of all held series that match and can hold rows of the range; an
--      error that names what is held where a pattern matches none
-- why: a wrong name must not look like an empty answer
create or replace macro lake_files_like(kind, patterns, timeframe, first, last) as (
    list_transform(
        [
            list_filter(
                string_split(getvariable('lake_' || kind), chr(10))[2:],
                lambda line: regexp_matches(line, lake_matching(patterns, timeframe))
            )
        ],
        lambda held:
            case
                when len(patterns) > 0 and coalesce(
                    list_bool_and(
                        list_transform(
                            patterns,
                            lambda pattern:
                                regexp_matches(
                                    array_to_string(held, chr(10)),
                                    '(?m)' || lake_matching([pattern], timeframe)
                                )
                        )
                    ),
                    false
                )
                    then flatten(
                        list_transform(
                            held,
                            lambda line:
                                lake_within(
                                    string_split(line, e'\t')[2],
                                    string_split(line, e'\t')[3],
                                    string_split(line, e'\t')[4],
                                    first,
                                    last
                                )
                        )
                    )
                else error(lake_not_held(kind, patterns, timeframe))
            end
    )[1]
);
