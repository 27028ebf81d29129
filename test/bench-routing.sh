#!/usr/bin/env bash
# What a route takes in a store of 20,000 versions (200 families of 100, 100 tensors each): CPU time of the
# backend and time on the clock, of one session, warm. Prints a table in Markdown.
#
#   test/bench-routing.sh [VERSIONS]
#
# A private server that is removed afterwards. The rows are written as they would stand after imports, and
# weighed by sparse_keep_weights(), which takes most of the time.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
top=$PWD
source test/lib/private-server.sh
versions=${1:-20000}

choose_user
work=$(mktemp -d "${TMPDIR:-/tmp}/sparse-routing.XXXXXX")
trap 'stop_all_under "$work"; rm -rf "$work"' EXIT
chmod 755 "$work"
run_home=$work/home
[ "$(id -u)" -ne 0 ] || chown "$run_user" "$work"
as_user mkdir -p "$run_home"
make -s all PG_CONFIG="$PG_CONFIG"
install_private "$top" "$work/prefix"
init_cluster "$work/data" "$work/s" <<END
fsync = off
shared_buffers = 256MB
max_wal_size = 4GB
END
start_cluster "$work/data"
sql() { as_user "$bindir/psql" -XqAt -v ON_ERROR_STOP=1 -h "$work/s" -p "$server_port" -U postgres "$@"; }

sql -v versions="$versions" <<'END'
set client_min_messages = warning;
create extension sparse;
set client_min_messages = error;
select from sparse_create_store();
set session_replication_role = replica;
insert into sparse.family (id, name) select i, 'family ' || i from generate_series(1, :versions / 100) i;
insert into sparse.version (id, name, revision, family, state, content_sha256, raw_bytes, stored_bytes, files, tensors, metadata)
select i, 'acme/m' || i, 1, (i - 1) / 100 + 1, 'ready', sha256(i::text::bytea), 16e9, case when i % 100 = 1 then 11e9 else 2e9 end, 1, 100,
       '{"config": {"model_type": "llama", "num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 8192, "torch_dtype": "bfloat16"}}'
from generate_series(1, :versions) i;
insert into sparse.parent (child, parent, ordinal, role)
select i, (i - 1) / 100 * 100 + 1, 0, 'finetune' from generate_series(1, :versions) i where i % 100 <> 1;
insert into sparse.file (version, ordinal, path, format, bytes, sha256, object, object_bytes)
select i, 0, 'model.safetensors', 'safetensors', 16e9, sha256(i::text::bytea), 0, 0 from generate_series(1, :versions) i;
insert into sparse.tensor (version, file, ordinal, name, dtype, shape, first_byte, bytes, object)
select i, 0, t, 'model.layers.' || t || '.mlp.down_proj.weight', 'BF16', '{4096,19531}', 0, 16e7, 0 from generate_series(1, :versions) i, generate_series(1, 100) t;
insert into sparse.quality (version, task, score, source) select i, 'chat', 0.5 + (i % 50) / 100.0, 'made' from generate_series(1, :versions) i;
analyze;
set session_replication_role = origin;
select from sparse_keep_weights();
analyze sparse.weight;
END

echo "| a route among | CPU | on the clock, median |"
echo "|---|--:|--:|"
ask() {
    local what=$1 query=$2 calls=$3
    sql -v what="$what" -v query="$query" -v calls="$calls" <<'END'
create function pg_temp.cpu() returns numeric language sql as $$
    select sum(f::numeric) * 10 from unnest((string_to_array(regexp_replace(pg_read_file('/proc/' || pg_backend_pid() || '/stat'), '^.*\) ', ''), ' '))[12:13]) f $$;
create function pg_temp.row(what text, query text, calls integer) returns text language plpgsql as $$
declare began numeric; at timestamptz; took numeric[];
begin
    for i in 1 .. calls + 3 loop
        if i = 4 then began := pg_temp.cpu(); end if;
        at := clock_timestamp();
        execute query;
        if i > 3 then took := took || (extract(epoch from clock_timestamp() - at) * 1000)::numeric; end if;
    end loop;
    return format('| %s | %s ms | %s ms |', what, round((pg_temp.cpu() - began) / calls, 1),
                  round((select percentile_cont(0.5) within group (order by t) from unnest(took) t)::numeric, 1));
end $$;
select pg_temp.row(:'what', :'query', :calls);
END
}
request='"task": "chat", "quality_floor": 0.7, "prompt_tokens": 1000, "output_tokens": 200}'
ask "one version" "select from sparse_route('{\"versions\": [30], $request')" 50
ask "a family of 100" "select from sparse_route('{\"family\": 2, $request')" 50
ask "all $versions versions" "select from sparse_route(('{\"versions\": ' || (select jsonb_agg(id)::text from sparse.version) || ', $request')::jsonb)" 3
