#!/usr/bin/env bash
# How well and how fast parents are found, as two Markdown tables:
# for each model of a family the best candidates, what they are estimated to leave of it, and
# what it takes when it is imported with that parent into a store that has nothing else;
# and the time of a search among 100,000 versions, of which 20,000 or all share the architecture,
# or none does and all are of the width, so that each is compared as one of another form.
#
#   test/bench-find.sh [DIRECTORY]     where the models lie; test/data by default
#   test/bench-find.sh --speed         the second table only

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
top=$PWD
source test/lib/private-server.sh
source test/lib/measured-models.sh
unset MAKEFLAGS MFLAGS MAKELEVEL

speed_only=
if [ "${1:-}" = --speed ]; then speed_only=1; shift; fi
models=$(realpath "${1:-test/data}")

import() { query "$1" --command="select sparse_import_file('$2', '$models/$2.safetensors', '{${3:-}}')"; }

# CHILD PARENT: what the child takes.
really() {
    make_store pair
    import pair "$2" >/dev/null
    import pair "$1" "$2" >/dev/null
    query pair --command="select stored_bytes from sparse.version where name = '$1'"
}

found() {
    local name child parent estimated matched
    make_store family
    for file in "$models"/*.safetensors; do
        name=$(basename "$file" .safetensors)
        import family "$name" >/dev/null
    done
    echo "| child | bytes | candidate | estimated | really | tensors |"
    echo "|---|--:|---|--:|--:|--:|"
    query family --command="
        select v.name, v.raw_bytes, f.name, f.estimated_bytes, f.matched_tensors
        from sparse.version v, sparse_find_parent(v.id, 3) with ordinality as f (version, name, revision, estimated_bytes, matched_tensors, n)
        order by v.name, f.n" >"$work/found"
    while IFS='|' read -r child bytes parent estimated matched <&3; do
        echo "| $child | $bytes | $parent | $estimated | $(really "$child" "$parent") | $matched |"
    done 3<"$work/found"
}

# ONE_IN WIDE: every how manieth is of the architecture, and whether all are of the width. 64 tensors in each sketch; of those of the
# architecture, some have many tensors of the one sought, some none.
fill() {
    make_store many
    query many --set=one_in="$1" --set=wide="$2" <<'SQL' >/dev/null
create function normal(count int) returns bytea language sql as $$
    select string_agg(substr(float4send((sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random()) * 0.02)::float4), 2, 1)
                      || substr(float4send((0.02 * random())::float4), 1, 1), '')
    from generate_series(1, count) $$;
select setseed(0.5);
with header (text) as (
    select format('{"norm.weight":{"dtype":"BF16","shape":[64],"data_offsets":[524288,524416]},%s}', string_agg(format('"layers.%s.weight":{"dtype":"BF16","shape":[64,64],"data_offsets":[%s,%s]}',
                                            t, t * 8192, (t + 1) * 8192), ',' order by t))
    from generate_series(0, 63) t)
select sparse_import_bytes('sought', (select string_agg(substr(n, i, 1), '' order by i desc) from int8send(octet_length(text)) n, generate_series(1, 8) i)
                                     || convert_to(text, 'UTF8') || normal(64 * 4096 + 64)) from header;
insert into sparse.version (id, name, revision, family, state, content_sha256)
select i, 'many/' || i, 1, (select family from sparse.version where name = 'sought'), 'ready', sha256(int4send(i))
from generate_series(10, 100009) i;
insert into sparse.sketch (version, architecture, width, sketch)
select i, s.architecture + case when i % :one_in = 0 then 0 else i end, case when :wide then s.width else 0 end,
       substr(s.sketch, 1, 8) || (
           select string_agg(substr(s.sketch, 9 + 60 * t, 12)
                             || substr(s.sketch, 21 + 60 * case when abs(hashint4(64 * i + t)) % 8 < i % 8 then t else (t + i) % 64 end, 48),
                             '' order by t)
           from generate_series(0, 63) t)
from generate_series(10, 100009) i, sparse.sketch s, sparse.version v
where v.id = s.version and v.name = 'sought';
vacuum (analyze) sparse.sketch;
vacuum (analyze) sparse.version;
set client_min_messages = warning;
drop role if exists reader;
create role reader;
grant usage on schema sparse to reader;
grant select on sparse.version to reader;
alter table sparse.version enable row level security;
create policy most on sparse.version for select to reader using (id % 10 <> 0);
SQL
}

# ROLE: the median of seven searches, in milliseconds.
time_of() {
    query many <<SQL
set role $1;
create temporary table taken (ms float8);
select count(*) from sparse_find_parent('sought') \g /dev/null
do \$\$
declare began timestamptz;
begin
    for i in 1 .. 7 loop
        began := clock_timestamp();
        perform from sparse_find_parent('sought');
        insert into taken select 1000 * extract(epoch from clock_timestamp() - began);
    end loop;
end \$\$;
select round(percentile_cont(0.5) within group (order by ms)::numeric) from taken;
SQL
}

speed() {
    echo "| sketches | of the architecture | of the width | bytes of the table and its indexes | superuser, ms | who sees nine in ten, ms |"
    echo "|--:|--:|--:|--:|--:|--:|"
    for kin in "5 false" "1 false" "1000000 true"; do
        fill $kin
        echo "$(query many --command="
            select '| ' || count(*) || ' | ' || count(*) filter (where s.architecture = (select architecture from sparse.sketch where version < 10))
                   || ' | ' || count(*) filter (where s.width = 64)
                   || ' | ' || pg_total_relation_size('sparse.sketch') || ' | ' from sparse.sketch s")$(time_of postgres) | $(time_of reader) |"
    done
}

begin_measuring find <<<"fsync = off"

if [ -z "$speed_only" ]; then found; echo; fi
speed
