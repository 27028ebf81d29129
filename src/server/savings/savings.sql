/*
 * savings.sql: what versions cost, and what that saves, in views.
 *
 * Each version counts the objects that were first stored with it (sparse.object.version),
 * from the moment when it is ready until they are collected, a tombstone too if its kin
 * still need them. So the stored bytes of all versions, and of what is not counted yet
 * (sparse.payload), are the bytes of all deltas, and no view reads a chunk, or an object.
 *
 * Every view of versions is there twice: sparse.savings reads as its caller, whose
 * policies decide which versions it sums up, sparse.all_savings as the store's owner:
 * who is granted that, and nothing else, sees all figures and no weights. A baseline stands in the name of its column: raw files, whole files stored
 * once, each file by zstd. Baselines are of ready, exact versions: an approximation costs
 * what it is stored in, and saves nothing, for nobody would have kept its files instead.
 */

create function sparse_create_savings()
returns void
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
declare
    of_all boolean;
    options text;
    prefix text;
    part record;
begin
    -- ---- what is noted ----

    create table sparse.pull (
        version bigint not null references sparse.version,
        day date not null default current_date,
        pulls bigint not null default 1 check (pulls >= 0),
        raw_file_bytes bigint not null check (raw_file_bytes >= 0),
        sent_bytes bigint not null check (sent_bytes >= 0),
        primary key (version, day)
    );
    create index pull_month on sparse.pull ((date_trunc('month', day::timestamp)::date));
    comment on table sparse.pull is 'pulls of a version on a day, as sparse_record_pull() was told';
    comment on column sparse.pull.raw_file_bytes is 'bytes of the files that were pulled: what would have been sent of raw files';
    comment on column sparse.pull.sent_bytes is 'bytes that were sent';
    alter table sparse.pull enable row level security;
    create policy of_version on sparse.pull
        using (exists (select from sparse.version v where v.id = version));

    create table sparse.savings_history (
        day date not null,
        scope text not null check (scope in ('store', 'family', 'owner')),
        of text not null,
        name text,
        versions bigint not null,
        raw_file_bytes bigint not null,
        whole_file_dedup_bytes bigint not null,
        stored_bytes bigint not null,
        stored_for_dropped_bytes bigint not null,
        relation_bytes bigint,
        pulls bigint,
        pulled_raw_file_bytes bigint,
        sent_bytes bigint,
        primary key (day, scope, of)
    );
    create index savings_history_of on sparse.savings_history (scope, of, day);
    comment on table sparse.savings_history is 'the figures of each day on which sparse_record_savings() was called; they stay when versions go';
    create view sparse.growth with (security_invoker = true) as
    select date_trunc('month', day::timestamp)::date as month,
           day as recorded_on,
           versions,
           raw_file_bytes,
           stored_bytes,
           stored_bytes - lag(stored_bytes) over (order by day) as grown_bytes,
           round(stored_bytes / nullif(raw_file_bytes, 0)::numeric, 4) as fraction_of_raw_files,
           relation_bytes
    from (select distinct on (date_trunc('month', day::timestamp)) *
          from sparse.savings_history
          where scope = 'store'
          order by date_trunc('month', day::timestamp), day desc) h;
    comment on view sparse.growth is 'what the store held at the end of each month, as sparse_record_savings() found it then';
    comment on column sparse.savings_history.of is 'the id of the family, the owner, or the empty text for the whole store';
    comment on column sparse.savings_history.name is 'of a family: the name of its oldest version on that day';
    comment on column sparse.savings_history.relation_bytes is 'of the store: what its relations took on disk';
    comment on column sparse.savings_history.pulls is 'of the store: pulls recorded until the end of that day, and what they came to';

    -- ---- what the relations take; whose rights are the owner's ----

    create view sparse.payload as
    select v.state || ' versions' as of,
           f.place,
           count(*) as versions,
           sum(v.new_objects)::bigint as objects,
           sum(v.stored_bytes)::bigint as stored_bytes
    from sparse.version v
    join sparse.family f on f.id = v.family
    where v.state <> 'open'
    group by v.state, f.place
    union all
    select 'objects of open versions', o.place, count(distinct o.version), count(*), sum(o.stored_bytes)::bigint
    from sparse.version v
    join sparse.object o on o.version = v.id
    where v.state = 'open' or (v.state = 'dropped' and v.content_sha256 is null and v.collected_at is null)
    group by o.place
    union all
    select 'objects of versions given up', o.place, 0, count(*), sum(o.stored_bytes)::bigint
    from sparse.object o
    where o.version is null or o.version = 0
    group by o.place
    union all
    select 'chunks being uploaded', o.place, count(distinct s.version), count(distinct s.object), sum(c.bytes)::bigint
    from sparse.staged s
    join sparse.object o on o.id = s.object
    -- of one object, in its place: else all of a place on another server would be fetched
    cross join lateral (select sum(octet_length(c.delta)) as bytes
                        from sparse.chunk c where c.place = o.place and c.object = o.id) c
    where c.bytes is not null
    group by o.place;
    comment on view sparse.payload is 'what the deltas of the store come to, by what they are kept for; their sum is the bytes of all deltas';

    create view sparse.storage as
    select s.relation, s.table_bytes, s.toast_bytes, s.index_bytes, s.total_bytes, s.payload_bytes,
           s.total_bytes - s.payload_bytes as overhead_bytes
    from (select c.relname::text as relation,
                 pg_relation_size(c.oid) as table_bytes,
                 coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0) as toast_bytes,
                 pg_indexes_size(c.oid) as index_bytes,
                 pg_total_relation_size(c.oid) as total_bytes,
                 coalesce((select sum(p.stored_bytes)::bigint from sparse.payload p
                           where c.relname = 'chunk_' || p.place), 0) as payload_bytes
          from pg_class c
          where c.relnamespace = 'sparse'::regnamespace
            and c.relkind in ('r', 'm')) s;
    comment on view sparse.storage is 'bytes that the store''s relations take on disk, and how many of them are deltas';
    comment on column sparse.storage.table_bytes is 'the heap';
    comment on column sparse.storage.toast_bytes is 'the TOAST table and its index';
    comment on column sparse.storage.total_bytes is 'all of it, with the maps of free space and visibility';
    comment on column sparse.storage.payload_bytes is 'bytes of deltas, as sparse.payload adds them up';

    -- ---- of versions ----

    foreach of_all in array array[false, true] loop
        options := case when of_all then '' else 'with (security_invoker = true)' end;
        prefix := case when of_all then 'sparse.all_' else 'sparse.' end;

        execute format($view$
            create view %1$ssavings %2$s as
            select s.version,
                   s.name,
                   s.revision,
                   s.kind,
                   s.state,
                   s.family,
                   s.created_at,
                   s.created_by,
                   s.raw_file_bytes,
                   s.whole_file_dedup_bytes,
                   s.zstd_file_bytes,
                   greatest(s.raw_file_bytes - s.own_content_bytes, 0) as shared_content_bytes,
                   s.own_content_bytes,
                   s.stored_bytes,
                   s.raw_file_bytes - s.stored_bytes as saved_against_raw_files,
                   s.whole_file_dedup_bytes - s.stored_bytes as saved_against_whole_file_dedup,
                   s.zstd_file_bytes - s.stored_bytes as saved_against_zstd_files,
                   round(s.stored_bytes / nullif(s.raw_file_bytes, 0)::numeric, 4) as fraction_of_raw_files,
                   round(s.raw_file_bytes / nullif(s.stored_bytes, 0)::numeric, 2) as raw_files_to_stored,
                   s.by_predictor,
                   round(s.stored_bytes * price.of_byte, 6) as stored_cost_per_month,
                   round((s.raw_file_bytes - s.stored_bytes) * price.of_byte, 6) as saved_against_raw_files_per_month,
                   s.exact
            from (select id as version, name, revision, exact, kind, state, family, created_at, created_by, by_predictor,
                         case when state = 'ready' and exact then raw_bytes else 0 end as raw_file_bytes,
                         case when state = 'ready' and exact then unique_file_bytes else 0 end as whole_file_dedup_bytes,
                         case when state = 'ready' and exact then zstd_bytes else 0 end as zstd_file_bytes,
                         new_bytes as own_content_bytes,
                         stored_bytes
                  from sparse.version
                  where state = 'ready' or (state = 'dropped' and new_objects > 0)) s
            cross join (select nullif(nullif(current_setting('sparse.storage_price', true), '')::numeric, 0) / 1e9 as of_byte) price$view$,
            prefix, options);

        execute format($view$
            create view %1$ssavings_short %2$s as
            select s.name || '@' || s.revision as name,
                   s.raw_file_bytes as raw_bytes,
                   s.stored_bytes,
                   s.saved_against_raw_files as saved_bytes,
                   round(100 * s.saved_against_raw_files / nullif(s.raw_file_bytes, 0)::numeric, 1) as saved_percent,
                   coalesce((select e.key from jsonb_each(s.by_predictor) e
                             order by (e.value ->> 'content_bytes')::numeric desc, e.key limit 1), 'same') as predictor
            from %1$ssavings s
            where s.state = 'ready'
            order by s.version$view$,
            prefix, options);

        -- one row for each family, owner, organisation or month: what it is called, and by what it is grouped, which an index has
        for part in
            select * from (values
                ('family', 's.family', 'g.family, (select n.name from sparse.version n where n.id = g.oldest) as name'),
                ('owner', 's.created_by', 'g.created_by as owner'),
                ('organisation', 'case when s.name like ''%/%'' then split_part(s.name, ''/'', 1) end', 'g.organisation'),
                ('month', 'date_trunc(''month'', s.created_at at time zone ''UTC'')::date', 'g.month')) p (what, key, columns)
        loop
            execute format($view$
                create view %1$ssavings_by_%3$s %2$s as
                select %5$s,
                       g.versions,
                       g.raw_file_bytes,
                       g.whole_file_dedup_bytes,
                       case when g.measured = g.exact then g.zstd_file_bytes end as zstd_file_bytes,
                       g.shared_content_bytes,
                       g.own_content_bytes,
                       g.stored_bytes,
                       g.stored_for_dropped_bytes,
                       g.raw_file_bytes - g.stored_bytes as saved_against_raw_files,
                       g.whole_file_dedup_bytes - g.stored_bytes as saved_against_whole_file_dedup,
                       case when g.measured = g.exact then g.zstd_file_bytes - g.stored_bytes end as saved_against_zstd_files,
                       round(g.stored_bytes / nullif(g.raw_file_bytes, 0)::numeric, 4) as fraction_of_raw_files,
                       round(g.raw_file_bytes / nullif(g.stored_bytes, 0)::numeric, 2) as raw_files_to_stored,
                       round(g.stored_bytes * price.of_byte, 6) as stored_cost_per_month,
                       round((g.raw_file_bytes - g.stored_bytes) * price.of_byte, 6) as saved_against_raw_files_per_month,
                       g.stored_for_approximations_bytes
                from (select %4$s as %6$s,
                             min(s.id) as oldest,
                             count(*) filter (where s.state = 'ready') as versions,
                             count(*) filter (where s.state = 'ready' and s.exact) as exact,
                             coalesce(sum(s.raw_bytes) filter (where s.state = 'ready' and s.exact), 0)::bigint as raw_file_bytes,
                             coalesce(sum(s.unique_file_bytes) filter (where s.state = 'ready' and s.exact), 0)::bigint as whole_file_dedup_bytes,
                             count(s.zstd_bytes) filter (where s.state = 'ready' and s.exact) as measured,
                             coalesce(sum(s.zstd_bytes) filter (where s.state = 'ready' and s.exact), 0)::bigint as zstd_file_bytes,
                             coalesce(sum(greatest(s.raw_bytes - s.new_bytes, 0)) filter (where s.state = 'ready' and s.exact), 0)::bigint as shared_content_bytes,
                             sum(s.new_bytes)::bigint as own_content_bytes,
                             sum(s.stored_bytes)::bigint as stored_bytes,
                             coalesce(sum(s.stored_bytes) filter (where s.state = 'dropped'), 0)::bigint as stored_for_dropped_bytes,
                             coalesce(sum(s.stored_bytes) filter (where s.state = 'ready' and not s.exact), 0)::bigint as stored_for_approximations_bytes
                      from sparse.version s
                      where s.state = 'ready' or (s.state = 'dropped' and s.new_objects > 0)
                      group by 1) g
                cross join (select nullif(nullif(current_setting('sparse.storage_price', true), '')::numeric, 0) / 1e9 as of_byte) price$view$,
                prefix, options, part.what, part.key, part.columns,
                case part.what when 'owner' then 'created_by' else part.what end);
        end loop;

        execute format($view$
            create view %1$segress %2$s as
            select p.version,
                   p.name,
                   p.revision,
                   p.family,
                   p.created_by,
                   p.pulls,
                   p.raw_file_bytes,
                   p.sent_bytes,
                   p.raw_file_bytes - p.sent_bytes as saved_against_raw_files,
                   round(p.sent_bytes / nullif(p.raw_file_bytes, 0)::numeric, 4) as fraction_of_raw_files,
                   round(p.sent_bytes * price.of_byte, 6) as sent_cost,
                   round((p.raw_file_bytes - p.sent_bytes) * price.of_byte, 6) as saved_against_raw_files_cost
            from (select v.id as version, v.name, v.revision, v.family, v.created_by,
                         sum(p.pulls)::bigint as pulls,
                         sum(p.raw_file_bytes)::bigint as raw_file_bytes,
                         sum(p.sent_bytes)::bigint as sent_bytes
                  from sparse.pull p
                  join sparse.version v on v.id = p.version
                  -- (all of them, so that what is asked of one is asked before anything is summed up)
                  group by v.id, v.name, v.revision, v.family, v.created_by) p
            cross join (select nullif(nullif(current_setting('sparse.egress_price', true), '')::numeric, 0) / 1e9 as of_byte) price$view$,
            prefix, options);

        execute format($view$
            create view %1$segress_by_month %2$s as
            select p.month,
                   p.pulls,
                   p.raw_file_bytes,
                   p.sent_bytes,
                   p.raw_file_bytes - p.sent_bytes as saved_against_raw_files,
                   round(p.sent_bytes / nullif(p.raw_file_bytes, 0)::numeric, 4) as fraction_of_raw_files,
                   round(p.sent_bytes * price.of_byte, 6) as sent_cost,
                   round((p.raw_file_bytes - p.sent_bytes) * price.of_byte, 6) as saved_against_raw_files_cost
            from (select date_trunc('month', day::timestamp)::date as month,
                         sum(pulls)::bigint as pulls,
                         sum(raw_file_bytes)::bigint as raw_file_bytes,
                         sum(sent_bytes)::bigint as sent_bytes
                  from sparse.pull
                  group by 1) p
            cross join (select nullif(nullif(current_setting('sparse.egress_price', true), '')::numeric, 0) / 1e9 as of_byte) price$view$,
            prefix, options);

        execute format('comment on view %ssavings is %L', prefix, 'what each version costs, and saves against named baselines');
        execute format('comment on view %ssavings_short is %L', prefix, 'what each ready version costs, in six columns; predictor: of most of what it brought, same: nothing');
        execute format('comment on view %ssavings_by_family is %L', prefix, 'what the versions of each family cost together');
        execute format('comment on view %ssavings_by_owner is %L', prefix, 'what the versions of each owner (created_by) cost together');
        execute format('comment on view %ssavings_by_organisation is %L', prefix, 'what the versions of each organisation, the part of a name before "/", cost together; null: names without one');
        execute format('comment on view %ssavings_by_month is %L', prefix, 'what the versions that were made in each month cost together');
        execute format('comment on view %segress is %L', prefix, 'what pulls of each version came to, as they were recorded');
        execute format('comment on view %segress_by_month is %L', prefix, 'what the pulls of each month came to, as they were recorded');
    end loop;
end
$function$;
comment on function sparse_create_savings() is
'The part of sparse_create_store() that makes the tables and views of savings.';

create function sparse_attach_savings()
returns void
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
declare
    of_all boolean;
    options text;
    prefix text;
    granted record;
begin
    foreach of_all in array array[false, true] loop
        options := case when of_all then '' else 'with (security_invoker = true)' end;
        prefix := case when of_all then 'sparse.all_' else 'sparse.' end;
        continue when to_regclass(prefix || 'savings_by_predictor') is not null;

        execute format($view$
            create view %1$ssavings_by_predictor %2$s as
            select p.key as predictor,
                   (p.value ->> 'objects')::bigint as objects,
                   (p.value ->> 'content_bytes')::bigint as content_bytes,
                   (p.value ->> 'stored_bytes')::bigint as stored_bytes,
                   round((p.value ->> 'stored_bytes')::numeric / nullif((p.value ->> 'content_bytes')::numeric, 0), 4) as fraction_of_content
            from (select @extschema@.sparse_tally_sum(v.by_predictor) as by_predictor
                  from sparse.version v
                  where v.state <> 'open') s,
                 jsonb_each(s.by_predictor) p$view$,
            prefix, options);

        execute format('comment on view %ssavings_by_predictor is %L', prefix, 'what was stored by each predictor');
        -- whoever reads the figures of versions reads their sum, also where this view was lost and comes back
        for granted in
            select a.grantee, a.is_grantable
            from pg_class v, aclexplode(v.relacl) a
            where v.oid = to_regclass(prefix || 'savings') and a.privilege_type = 'SELECT' and a.grantee <> v.relowner
        loop
            execute format('grant select on %ssavings_by_predictor to %s%s', prefix,
                case granted.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(granted.grantee)) end,
                case when granted.is_grantable then ' with grant option' else '' end);
        end loop;
    end loop;
end
$function$;
comment on function sparse_attach_savings() is
'The part of sparse_attach_store() that makes the views of savings which need the extension''s functions, where they are missing.';

create function sparse_record_pull(version bigint, sent_bytes bigint, raw_file_bytes bigint default null)
returns void
language c
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'savings_record_pull';
comment on function sparse_record_pull(bigint, bigint, bigint) is
'Notes that a version was pulled, how many bytes were sent for it, and those of the files that were asked for (null: all of its files).';

create function sparse_record_pull(version text, sent_bytes bigint, raw_file_bytes bigint default null)
returns void
language c
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'savings_record_pull';
comment on function sparse_record_pull(text, bigint, bigint) is
'Notes that a version was pulled, how many bytes were sent for it, and those of the files that were asked for (null: all of its files).';

create function sparse_record_savings_of(day date)
returns bigint
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
declare
    recorded bigint;
begin
    insert into sparse.savings_history as h (day, scope, of, name, versions, raw_file_bytes, whole_file_dedup_bytes, stored_bytes,
                                             stored_for_dropped_bytes, relation_bytes, pulls, pulled_raw_file_bytes, sent_bytes)
    select $1, 'family', f.family::text, f.name, f.versions, f.raw_file_bytes, f.whole_file_dedup_bytes, f.stored_bytes,
           f.stored_for_dropped_bytes, null::bigint, null::bigint, null::bigint, null::bigint
    from sparse.all_savings_by_family f
    union all
    select $1, 'owner', o.owner, null, o.versions, o.raw_file_bytes, o.whole_file_dedup_bytes, o.stored_bytes,
           o.stored_for_dropped_bytes, null, null, null, null
    from sparse.all_savings_by_owner o
    union all
    select $1, 'store', '', null, s.versions, s.raw, s.dedup, s.stored, s.dropped,
           (select sum(r.total_bytes)::bigint from sparse.storage r), p.pulls, p.raw, p.sent
    from (select coalesce(sum(versions), 0)::bigint as versions,
                 coalesce(sum(raw_file_bytes), 0)::bigint as raw,
                 coalesce(sum(whole_file_dedup_bytes), 0)::bigint as dedup,
                 coalesce(sum(stored_bytes), 0)::bigint as stored,
                 coalesce(sum(stored_for_dropped_bytes), 0)::bigint as dropped
          from sparse.all_savings_by_month) s,
         (select coalesce(sum(pulls), 0)::bigint as pulls,
                 coalesce(sum(raw_file_bytes), 0)::bigint as raw,
                 coalesce(sum(sent_bytes), 0)::bigint as sent
          from sparse.all_egress_by_month) p
    on conflict on constraint savings_history_pkey do update
        set name = excluded.name,
            versions = excluded.versions,
            raw_file_bytes = excluded.raw_file_bytes,
            whole_file_dedup_bytes = excluded.whole_file_dedup_bytes,
            stored_bytes = excluded.stored_bytes,
            stored_for_dropped_bytes = excluded.stored_for_dropped_bytes,
            relation_bytes = excluded.relation_bytes,
            pulls = excluded.pulls,
            pulled_raw_file_bytes = excluded.pulled_raw_file_bytes,
            sent_bytes = excluded.sent_bytes;
    get diagnostics recorded = row_count;
    return recorded;
end
$function$;
comment on function sparse_record_savings_of(date) is
'What sparse_record_savings() does, as whoever calls it.';

create function sparse_record_savings(day date default current_date)
returns bigint
language c
volatile
strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'call_as_reader';
comment on function sparse_record_savings(date) is
'Writes the figures of the whole store, of each family and of each owner to sparse.savings_history, in place of those of that day; returns how many rows. To be called nightly by the store''s owner.';

create function sparse_drop_preview(
    version bigint,
    out objects bigint,
    out content_bytes bigint,
    out stored_bytes bigint,
    out kept_objects bigint,
    out kept_stored_bytes bigint
)
language c
stable
strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'savings_drop_preview';
comment on function sparse_drop_preview(bigint) is
'What sparse_collect() would free if this version were dropped, chains of predictions considered; and what of its own content others need.';

create function sparse_measure_zstd(version bigint)
returns bigint
language c
volatile
strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'savings_measure_zstd';
comment on function sparse_measure_zstd(bigint) is
'Compresses the files of a version by zstd -3, each for itself, and notes what that came to, which it returns. Reads all of it. Needs update on sparse.version.';

create function sparse_drop_preview(
    version text,
    out objects bigint,
    out content_bytes bigint,
    out stored_bytes bigint,
    out kept_objects bigint,
    out kept_stored_bytes bigint
)
language c
stable
strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'savings_drop_preview';
comment on function sparse_drop_preview(text) is
'What sparse_collect() would free if this version were dropped, chains of predictions considered; and what of its own content others need.';

create function sparse_drop_preview(
    versions text[],
    out objects bigint,
    out content_bytes bigint,
    out stored_bytes bigint,
    out kept_objects bigint,
    out kept_stored_bytes bigint
)
language c
stable
strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'savings_drop_preview_set';
comment on function sparse_drop_preview(text[]) is
'What sparse_collect() would free if these versions were dropped together: more than the sum, where only they need something; and what of their own content others need.';

create function sparse_measure_zstd(version text)
returns bigint
language c
volatile
strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'savings_measure_zstd';
comment on function sparse_measure_zstd(text) is
'Compresses the files of a version by zstd -3, each for itself, and notes what that came to, which it returns. Reads all of it. Needs update on sparse.version.';
