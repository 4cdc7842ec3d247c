-- macro: lake_matching
-- version: 1
-- dialect: duckdb
-- parameters: patterns (varchar[]): as lake_patterns gives them; name (varchar): the timeframe
-- returns: a regular expression for the beginning of the lines of the series that they name, by
--      INSTRUMENT.VENUE or INSTRUMENT alone
-- why: one expression for all patterns is matched in one pass
create or replace macro lake_matching(patterns, name) as (
    concat(
        '^(?:',
        replace(
            replace(
                regexp_replace(array_to_string(patterns, '|'), '([.+^$(){}\\\[\]])', '\\\1', 'g'),
                '*',
                '[^\t]*'
            ),
            '?',
            '[^\t]'
        ),
        ')(?:\.[^.\t ]*)? ',
        replace(name, '*', '[^\t]*'),
        '\t'
    )
);
