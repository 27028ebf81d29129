-- What a golden store holds, a line each: version, file or split, kind, state, exact, SHA-256 of what it gives back.
-- Run by make.sh when the dump is made and by t/032_golden_store.pl when it was restored.
set timezone = 'UTC';
select v.name || '@' || v.revision, coalesce(f.path, '-'), v.kind, v.state, v.exact,
       case when v.state = 'ready'
            then (select encode(sha256(coalesce(string_agg(piece, '' order by n), '')), 'hex')
                  from sparse_reconstruct_file(v.id, f.path) with ordinality as pieces (piece, n))
            else '-' end
from sparse.version v
left join sparse.file f on f.version = v.id
where v.kind = 'model'
order by v.id, f.path collate "C";
select v.name || '@' || v.revision, s.name, v.kind, v.state, v.exact,
       (select encode(sha256(convert_to(string_agg(r, E'\n' order by n), 'UTF8')), 'hex')
        from (select r::text, row_number() over () as n from (select sparse_rows_as(null::faq, v.id, s.name) as r offset 0) x) y)
from sparse.version v
join sparse.split s on s.version = v.id
where v.name = 'org/faq'
order by v.id, s.ordinal;
select v.name || '@' || v.revision, s.name, v.kind, v.state, v.exact,
       (select encode(sha256(convert_to(string_agg(r, E'\n' order by n), 'UTF8')), 'hex')
        from (select r::text, row_number() over () as n from (select sparse_rows_as(null::plain, v.id) as r offset 0) x) y)
from sparse.version v
join sparse.split s on s.version = v.id
where v.name = 'org/plain';
