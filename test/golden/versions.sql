-- What the versions of a store are: of a model the SHA-256 of its file, of a dataset that
-- of its rows as JSON, split by split.
set client_min_messages = warning;
set timezone = 'UTC';
select name || '@' || revision || ' ' || state || ' ' || coalesce(case when state <> 'ready' then null when kind = 'model' then
        (select encode(sha256(string_agg(piece, '' order by n)), 'hex') from sparse_reconstruct(id) with ordinality as pieces (piece, n))
    else (select string_agg(split || ':' || (select encode(sha256(convert_to(string_agg(r::text, E'\n' order by n), 'UTF8')), 'hex')
                                          from sparse_rows(id, split => s.split) with ordinality as x (r, n)), ' ' order by split)
          from sparse_splits(id) s) end, '')
from sparse.version where state <> 'open' order by id;
select name || ' ' || tag || ' ' || version from sparse.tag order by 1;
