-- macro: lake_patterns
-- version: 1
-- dialect: duckdb
-- parameters: names: one id or pattern, or a list of them; venue (varchar or null): what ids lack
-- returns: a list of upper-case patterns, INSTRUMENT or INSTRUMENT.VENUE
-- why: a macro's argument has no fixed type; as text, one name and a list of them look alike
create or replace macro lake_patterns(names, venue) as (
    list_transform(
        regexp_extract_all(upper(names::varchar), '[^\[\], '']+'),
        lambda name: case when venue is null then name else name || '.' || upper(venue) end
    )
);
