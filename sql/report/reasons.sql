-- report: reasons
-- version: 1
-- dialect: duckdb
-- reads: found (all gaps)
-- returns: one row a reason: in how many series, how many gaps, and how many rows are missing (of
--      trades nobody knows), the most common first
select
    reason,
    count(distinct number) as series,
    count(*) as gaps,
    coalesce(sum(missing_count), 0)::bigint as missing
from found
group by reason
order by missing desc, gaps desc, reason;
