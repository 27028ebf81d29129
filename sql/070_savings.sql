-- Savings: what versions cost, to the byte, whatever is imported, dropped, collected and given up.
\set VERBOSITY terse
set client_min_messages = warning;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = warning;
create function data_file(name text) returns text language sql as $$
    select current_setting('sparse_test.data') || '/' || name || '.safetensors' $$;
create function content(name text) returns bytea language sql as $$ select pg_read_binary_file(data_file(name)) $$;

-- (what the searches of a fine-tune add, objects of factors, would only be more of the same)
set sparse.effort = 1;
-- What the deltas come to: by themselves, by the payload, by the versions, by the objects
create function totals(out deltas bigint, out payload_is boolean, out objects_are boolean, out storage_is boolean,
                       out savings_are boolean, out families_are boolean, out owners_are boolean, out months_are boolean,
                       out predictors_are boolean, out counters_are boolean) language sql as $$
    with t as (select (select coalesce(sum(sdelta_bytes(delta)), 0) from sparse.chunk) as all_deltas,
                      (select coalesce(sum(stored_bytes), 0) from sparse.payload where "of" in ('ready versions', 'dropped versions')) as of_versions)
    select all_deltas,
           all_deltas = (select coalesce(sum(stored_bytes), 0) from sparse.payload),
           (select coalesce(sum(stored_bytes), 0) from sparse.object)
               = (select coalesce(sum(stored_bytes), 0) from sparse.payload where "of" <> 'chunks being uploaded'),
           all_deltas = (select sum(payload_bytes) from sparse.storage),
           of_versions = (select coalesce(sum(stored_bytes), 0) from sparse.savings),
           of_versions = (select coalesce(sum(stored_bytes), 0) from sparse.savings_by_family),
           of_versions = (select coalesce(sum(stored_bytes), 0) from sparse.savings_by_owner) and
           of_versions = (select coalesce(sum(stored_bytes), 0) from sparse.savings_by_organisation),
           of_versions = (select coalesce(sum(stored_bytes), 0) from sparse.savings_by_month),
           of_versions = (select coalesce(sum(stored_bytes), 0) from sparse.savings_by_predictor),
           not exists (select from sparse.version v, sparse_tally(v.id) t
                       where (v.content_sha256 is not null or v.collected_at is not null) and (v.new_objects, v.new_bytes, v.stored_bytes, v.by_predictor) is distinct from
                             (t.new_objects, t.new_bytes, t.stored_bytes, t.by_predictor))
    from t $$;
\set show 'select version, name, state, raw_file_bytes, whole_file_dedup_bytes, shared_content_bytes, own_content_bytes, stored_bytes > 0 as stores, saved_against_raw_files = raw_file_bytes - stored_bytes and saved_against_whole_file_dedup = whole_file_dedup_bytes - stored_bytes as consistent from sparse.savings order by version;'
select deltas, payload_is, savings_are from totals();

-- A base, a fine-tune, the same again under another name, and a chain on it
select sparse_import_file('org/base', data_file('mini-base'));
select sparse_import_file('org/tuned', data_file('mini-finetune'), '{org/base}');
select sparse_import_file('org/copy', data_file('mini-finetune'), '{org/base}');
select sparse_import_file('org/chain', data_file('mini-chain-1'), '{org/tuned}');
:show
select predictor, objects, content_bytes from sparse.savings_by_predictor order by predictor;
select name, key, value -> 'objects' as objects from sparse.savings, jsonb_each(by_predictor) where version <= 2 order by 1, 2;
select deltas > 0 as deltas, payload_is, objects_are, storage_is, savings_are, families_are, owners_are, months_are, predictors_are, counters_are from totals();
select family, name, versions, raw_file_bytes, whole_file_dedup_bytes, shared_content_bytes, own_content_bytes from sparse.savings_by_family;
-- what the relations take is what the server says, all of it
select sum(total_bytes) = (select sum(pg_total_relation_size(oid)) from pg_class where relnamespace = 'sparse'::regnamespace and relkind = 'r') as total,
       bool_and(overhead_bytes = total_bytes - payload_bytes) as overhead from sparse.storage;

select sparse_drop_preview('{org/base,no such}'::text[]);
select objects, stored_bytes, kept_objects from sparse_drop_preview('{}'::text[]);
-- Together more goes than one by one: what only they share
select p.objects > s.objects as more, p.stored_bytes > s.bytes as more_bytes, p.kept_objects < s.kept as less_stays
from sparse_drop_preview(array(select id::text from sparse.version where state = 'ready' order by id)) p,
    (select sum(o.objects) as objects, sum(o.stored_bytes) as bytes, sum(o.kept_objects) as kept from sparse.version v, sparse_drop_preview(v.id) o where v.state = 'ready') s;
-- The narrow face, organisations, and what was then
select name, raw_bytes, stored_bytes < raw_bytes as less, saved_bytes = raw_bytes - stored_bytes as saved, saved_percent between 0 and 100 as percent, predictor from sparse.savings_short;
select organisation, versions from sparse.savings_by_organisation order by 1;

-- What a drop would free is what it frees: nothing, while others need it
create table before as select p.* from sparse_drop_preview('org/tuned') p;
select objects, stored_bytes, kept_objects from before;
select sparse_drop('org/tuned');
select objects, bytes from sparse_collect('0 s');
-- a tombstone counts what it holds for others, and no files
:show
select stored_bytes = stored_for_dropped_bytes as all_for_dropped, stored_for_dropped_bytes > 0 as for_dropped from sparse.savings_by_family;
select payload_is, objects_are, storage_is, savings_are, families_are, owners_are, months_are, predictors_are, counters_are from totals();
select sparse_drop('org/copy');
-- what is dropped already keeps nothing
select objects, kept_objects from sparse_drop_preview('org/chain');
select objects, bytes from sparse_collect('0 s');
-- with the last that needs it the whole chain goes
truncate before;
insert into before select * from sparse_drop_preview('org/chain');
select objects, kept_objects from before;
select sparse_drop('org/chain');
select objects, stored_bytes = (select stored_bytes from sparse_drop_preview('org/chain@1')) as the_same_when_dropped from before;
select c.objects = b.objects as objects, c.bytes = b.stored_bytes as bytes from sparse_collect('0 s') c, before b;
:show
select payload_is, objects_are, storage_is, savings_are, families_are, owners_are, months_are, predictors_are, counters_are from totals();
select sparse_drop_preview('no such');

-- Uploads under way are counted as such, and those given up not at all
create function header_bytes(data bytea) returns int language sql as $$
    select 8 + sum(get_byte(data, i) * 256 ^ i)::int from generate_series(0, 3) i $$;
create function described(data bytea, path text default 'model.safetensors') returns jsonb language sql as $$
    select jsonb_build_object('path', path, 'size', octet_length(data), 'sha256', encode(sha256(data), 'hex'),
        'header', translate(encode(substr(data, 1, h), 'base64'), E'\n', ''),
        'tensors', (select coalesce(jsonb_object_agg(key, encode(sha256(substr(data, h + 1 + (value #>> '{data_offsets,0}')::int,
                        (value #>> '{data_offsets,1}')::int - (value #>> '{data_offsets,0}')::int)), 'hex')), '{}')
                    from json_each(convert_from(substr(data, 9, h - 8), 'UTF8')::json) where key <> '__metadata__'))
    from header_bytes(data) h $$;
create function send(id bigint, data bytea, most int default null) returns bigint language sql as $$
    select count(*) from (select sparse_write(id, l.tensor, l.seq, substr(data, l.file_offset::int + 1, l.bytes::int), l.file)
                          from sparse_layout(id) l where l.wanted limit most) x $$;
select sparse_begin('org/sent', jsonb_build_array(described(content('mini-finetune-strong'))), '{org/base}') as id \gset
select send(:id, content('mini-finetune-strong'), 3);
select "of", objects, stored_bytes > 0 as stores from sparse.payload where "of" <> 'dropped versions' order by 1;
select payload_is, objects_are, storage_is, savings_are, counters_are from totals();
-- its header is shared by another that is ready first, and left behind when the upload is given up
select sparse_import_bytes('org/same-header', content('mini-finetune-strong') || '', '{org/base}');
select payload_is, objects_are, savings_are, counters_are from totals();
select sparse_abort(:id);
select "of", objects from sparse.payload where "of" = 'objects of versions given up';
select payload_is, objects_are, savings_are, families_are, counters_are from totals();
select sparse_begin('org/sent', jsonb_build_array(described(content('mini-finetune-light'))), '{org/base}') as id \gset
select send(:id, content('mini-finetune-light')) > 0 as sent;
select sparse_commit(:id) = :id as committed;
select payload_is, objects_are, savings_are, families_are, predictors_are, counters_are from totals();
select sparse_begin('org/left', jsonb_build_array(described(content('mini-chain-2'))), '{org/base}') as id \gset
select send(:id, content('mini-chain-2'), 2);
-- dropped while it is open
select sparse_drop(:id);
select payload_is, objects_are, savings_are, counters_are from totals();
select versions from sparse_collect('0 s');
select payload_is, objects_are, storage_is, savings_are, families_are, predictors_are, counters_are from totals();
-- What is coded anew is counted anew
update sparse.object set stored_bytes = stored_bytes + 1, predictor = 'same' where id = (select min(id) from sparse.object where predictor = 'parent');
select savings_are, predictors_are, counters_are from totals();
update sparse.object set stored_bytes = stored_bytes - 1, predictor = 'parent' where predictor = 'same';
select payload_is, savings_are, predictors_are, counters_are from totals();

\o /dev/null
call sparse_materialize('org/sent');
\o
select payload_is, objects_are, storage_is, savings_are, predictors_are, counters_are from totals();
select predictor, objects from sparse.savings_by_predictor order by 1;

-- By zstd: measured, not estimated; a family only when all its versions are
select zstd_file_bytes, saved_against_zstd_files from sparse.savings_by_family;
select bool_and(sparse_measure_zstd(version) between 1000000 and raw_file_bytes) as measured from sparse.savings where state = 'ready';
select zstd_file_bytes = (select sum(zstd_bytes) from sparse.version where state = 'ready') as summed,
       saved_against_zstd_files = zstd_file_bytes - stored_bytes as saved from sparse.savings_by_family;

-- Pulls are noted by who is told to, and stay when the version goes
select sparse_record_pull('org/base', 1000);
select sparse_record_pull('org/base', 500, 2000);
select sparse_record_pull('org/base', -1);
select sparse_record_pull('no such', 1);
select name, pulls, raw_file_bytes, sent_bytes, saved_against_raw_files, saved_against_raw_files_cost from sparse.egress;
-- Money by settings
select stored_cost_per_month from sparse.savings where version = 1;
set sparse.storage_price = 0.02;
set sparse.egress_price = 0.1;
select stored_cost_per_month = round(stored_bytes * 0.02 / 1e9, 6) as cost,
       saved_against_raw_files_per_month = round(saved_against_raw_files * 0.02 / 1e9, 6) as saved from sparse.savings where version = 1;
select sent_cost, saved_against_raw_files_cost from sparse.egress_by_month;

-- The history stays when versions go
select sparse_record_savings('2020-01-01');
select sparse_record_savings('2020-01-01');
select count(sparse_drop(id)) as dropped from sparse.version where state = 'ready' and name <> 'org/base';
select count(*) > 0 as collected from sparse_collect('0 s');
select payload_is, objects_are, storage_is, savings_are, families_are, predictors_are, counters_are from totals();
select sparse_record_savings('2020-01-02');
select day, scope, name, versions, raw_file_bytes, pulls, pulled_raw_file_bytes, sent_bytes, relation_bytes > stored_bytes as more from sparse.savings_history order by day, scope;

-- Reports in three formats; what users wrote is escaped
select sparse_rename('org/base', 'org/<b>&"|base');
select regexp_replace(line, ' +[0-9.]+ (kB|MB|x|%)', ' #', 'g') as line from regexp_split_to_table(sparse_report(), E'\n') l (line) where line ~ 'base|raw files|pulls recorded';
select regexp_replace(line, ' +[0-9.]+ (kB|MB|x|%)', ' #', 'g') as line from regexp_split_to_table(sparse_report('markdown'), E'\n') l (line) where line ~ 'base|raw files|^#';
select html ~ '^<!DOCTYPE html>' as whole, html ~ 'org/&lt;b&gt;&amp;&quot;|base' as escaped, html ~ '<b>&' as raw,
       html ~* '<script|https?://|<link|@import|url\(' as asks from sparse_report('html') r (html);
select sparse_report('pdf');

-- Who is granted the figures of all sees them, and no weights
drop role if exists regress_sparse_analyst, regress_sparse_viewer;
create role regress_sparse_analyst;
create role regress_sparse_viewer;
-- (a family of its own)
select sparse_import_file('secret/base', data_file('mini-finetune'), find_parents => false) as secret \gset
grant usage on schema sparse to regress_sparse_analyst, regress_sparse_viewer;
grant select on sparse.all_savings, sparse.all_savings_by_family, sparse.all_savings_by_owner, sparse.all_savings_by_month,
    sparse.all_savings_by_predictor, sparse.all_egress, sparse.all_egress_by_month, sparse.storage, sparse.payload, sparse.savings_history to regress_sparse_analyst;
set role regress_sparse_analyst;
select name, raw_file_bytes from sparse.all_savings where state = 'ready' order by version;
select count(*) as families from sparse.all_savings_by_family;
select sparse_report('text', true) ~ 'secret/base' as reported, sparse_report('html', true) ~ 'secret/base' as drawn;
select sparse_report();
select count(*) from sparse_reconstruct('secret/base');
select sparse_tensor('secret/base', 'model.norm.weight');
select sparse_drop_preview('secret/base');
select sparse_measure_zstd('secret/base');
select from sparse.version;
select from sparse.object;
select sparse_record_savings();
select sparse_record_pull('secret/base', 1);
select * from sparse_tally(1);
-- Under row-level security the others sum up what their caller may see
reset role;
alter table sparse.version enable row level security;
create policy own on sparse.version for select to regress_sparse_viewer using (name like 'org/%');
grant select on sparse.version, sparse.savings, sparse.savings_by_family, sparse.savings_by_owner, sparse.savings_by_month,
    sparse.savings_by_predictor, sparse.egress, sparse.egress_by_month, sparse.pull to regress_sparse_viewer;
select sparse_record_pull('secret/base', 7);
set role regress_sparse_viewer;
select name from sparse.savings where state = 'ready';
select name, versions, raw_file_bytes from sparse.savings_by_family;
select versions, raw_file_bytes from sparse.savings_by_owner;
select versions, raw_file_bytes from sparse.savings_by_month;
select sum(content_bytes) from sparse.savings_by_predictor;
select name, pulls from sparse.egress;
select pulls from sparse.egress_by_month;
select sparse_report() ~ 'secret' as told;
select sparse_drop_preview('secret/base');
select sparse_measure_zstd('org/<b>&"|base');
select count(*) from sparse.all_savings;
select sparse_record_pull('org/<b>&"|base', 1);
reset role;
grant insert, update on sparse.pull to regress_sparse_viewer;
set role regress_sparse_viewer;
select sparse_record_pull('org/<b>&"|base', 1);
select sparse_record_pull('secret/base', 1);
insert into sparse.pull (version, raw_file_bytes, sent_bytes) values (:secret, 1, 1);
reset role;
drop owned by regress_sparse_analyst, regress_sparse_viewer;
drop role regress_sparse_analyst, regress_sparse_viewer;
