/*
 * store.sql: the tables of a store, and the function that makes them.
 *
 * The tables are ordinary tables in schema "sparse", owned by whoever calls
 * sparse_create_store(), and not members of the extension: so they dump, restore
 * in parallel, keep their policies and accept further partitions like any other
 * table, and "drop extension" is refused while they stand.
 *
 * Nothing in them is of a type of the extension, or calls a function of it, but the
 * triggers and views that sparse_attach_store() makes: so "drop extension ... cascade"
 * takes those along and nothing else, and sparse_update_store() brings them back.
 *
 * Who may do what
 *   version          read and written as the caller, under row-level security:
 *                    it decides about everything below
 *   file, tensor, split, column, column_chunk, parent, parent_history, found_parent, tag, tag_history
 *                    may be granted for select; their policies show the rows of
 *                    those versions that the caller can see
 *   store, object, object_parent, chunk, upload, staged, sketch
 *                    granted to nobody: only the C layer reads and writes them,
 *                    as the store's owner, after the version was checked
 *
 * Only chunk is large, and only chunk is partitioned, by the place that its object's row
 * names. Its foreign key and unique index stand on the leaves (chunk_0 and so on): a
 * partitioned parent with a unique index accepts no foreign partition.
 */

create function sparse_version_guard()
returns trigger
language c
as 'MODULE_PATHNAME', 'version_guard';
comment on function sparse_version_guard() is
'Trigger of sparse.version: rows are written by the functions of sparse, or by the store''s owner.';

create function sparse_version_notify()
returns trigger
language c
as 'MODULE_PATHNAME', 'version_notify';
comment on function sparse_version_notify() is
'Trigger of sparse.version: tells those who listen on channel "sparse" of its argument, the event, with the id of the version.';

create function sparse_version_tally()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    if tg_relid <> 'sparse.version'::regclass or tg_when <> 'BEFORE' or tg_op <> 'UPDATE' or tg_level <> 'ROW' then
        raise exception 'sparse_version_tally() must be fired by its own trigger'
            using errcode = '39P01';
    end if;
    select t.new_objects, t.new_bytes, t.stored_bytes, t.by_predictor
    into new.new_objects, new.new_bytes, new.stored_bytes, new.by_predictor
    from @extschema@.sparse_tally(new.id) t;
    return new;
end
$function$;
comment on function sparse_version_tally() is
'Trigger of sparse.version: counts what a version holds when it becomes ready, and anew when some of it was collected or came later.';

create function sparse_version_forgotten()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $function$
begin
    if tg_relid <> 'sparse.version'::regclass or tg_when <> 'AFTER' or tg_op <> 'DELETE' or tg_level <> 'ROW' then
        raise exception 'sparse_version_forgotten() must be fired by its own trigger'
            using errcode = '39P01';
    end if;
    update sparse.object set version = null where version = old.id;
    return null;
end
$function$;
comment on function sparse_version_forgotten() is
'Trigger of sparse.version: what was stored with a version that is given up, and others share, counts as nobody''s.';

create function sparse_object_recoded()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    if tg_relid <> 'sparse.object'::regclass or tg_when <> 'AFTER' or tg_op <> 'UPDATE' or tg_level <> 'ROW' then
        raise exception 'sparse_object_recoded() must be fired by its own trigger'
            using errcode = '39P01';
    end if;
    update sparse.version v
    set stored_bytes = v.stored_bytes - old.stored_bytes + new.stored_bytes,
        by_predictor = @extschema@.sparse_tally_add(
            @extschema@.sparse_tally_add(v.by_predictor, old.predictor, -1::bigint, -old.bytes, -old.stored_bytes),
            new.predictor, 1::bigint, new.bytes, new.stored_bytes)
    where v.id = new.version and v.state <> 'open';
    return null;
end
$function$;
comment on function sparse_object_recoded() is
'Trigger of sparse.object: keeps the counters of a version right when an object that it counts is coded anew.';

create function sparse_tally(
    version bigint,
    out new_objects integer,
    out new_bytes bigint,
    out stored_bytes bigint,
    out by_predictor jsonb
)
language sql
stable
parallel safe
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $function$
    select coalesce(sum(p.objects), 0)::int,
           coalesce(sum(p.content_bytes), 0)::bigint,
           coalesce(sum(p.stored_bytes), 0)::bigint,
           coalesce(jsonb_object_agg(p.predictor, jsonb_build_object(
               'objects', p.objects, 'content_bytes', p.content_bytes, 'stored_bytes', p.stored_bytes)), '{}')
    from (select o.predictor,
                 count(*) as objects,
                 sum(o.bytes)::bigint as content_bytes,
                 sum(o.stored_bytes)::bigint as stored_bytes
          from sparse.object o
          where o.version = $1
          group by o.predictor) p
$function$;
comment on function sparse_tally(bigint) is
'What the objects come to that a version counts, as the store''s owner sees them; its counters must be the same.';

create function sparse_tally_add(
    by_predictor jsonb,
    predictor text,
    objects bigint,
    content_bytes bigint,
    stored_bytes bigint
)
returns jsonb
language sql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $function$
    select case when objects + coalesce((p ->> 'objects')::bigint, 0) = 0 then by_predictor - predictor
                else by_predictor || jsonb_build_object(predictor, jsonb_build_object(
                    'objects', objects + coalesce((p ->> 'objects')::bigint, 0),
                    'content_bytes', content_bytes + coalesce((p ->> 'content_bytes')::bigint, 0),
                    'stored_bytes', stored_bytes + coalesce((p ->> 'stored_bytes')::bigint, 0)))
           end
    from (select by_predictor -> predictor) x (p)
$function$;
comment on function sparse_tally_add(jsonb, text, bigint, bigint, bigint) is
'Counters by predictor, with so many objects and bytes more of one predictor.';

create function sparse_attach_store()
returns void
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
declare
    missing record;
begin
    for missing in
        select t.name, t.relation, t.definition
        from (values
            ('version_guard', 'version',
             'before insert or update or delete on sparse.version for each row execute function @extschema@.sparse_version_guard()'),
            -- after the guard, and before the quota; a counter that is written later asks for a count
            ('version_tally', 'version',
             $trigger$before update of state, new_objects on sparse.version
             for each row when ((new.state = 'ready' and old.state = 'open')
                                or (old.state <> 'open' and new.new_objects <> old.new_objects))
             execute function @extschema@.sparse_version_tally()$trigger$),
            ('version_forgotten', 'version',
             'after delete on sparse.version for each row execute function @extschema@.sparse_version_forgotten()'),
            ('version_ready', 'version',
             $trigger$after update of state on sparse.version
             for each row when (new.state = 'ready' and old.state <> 'ready')
             execute function @extschema@.sparse_version_notify('ready')$trigger$),
            ('version_dropped', 'version',
             $trigger$after update of state on sparse.version
             for each row when (new.state = 'dropped' and old.state <> 'dropped')
             execute function @extschema@.sparse_version_notify('drop')$trigger$),
            -- what was coded anew; an object without stored bytes is just being written
            ('object_recoded', 'object',
             $trigger$after update of stored_bytes, predictor on sparse.object
             for each row when (old.stored_bytes > 0
                                and (old.stored_bytes <> new.stored_bytes or old.predictor <> new.predictor))
             execute function @extschema@.sparse_object_recoded()$trigger$)) t (name, relation, definition)
        where not exists (select from pg_trigger g
                          where g.tgrelid = format('sparse.%I', t.relation)::regclass and g.tgname = t.name)
    loop
        execute format('create trigger %I %s', missing.name, missing.definition);
    end loop;
    perform @extschema@.sparse_attach_model();
    perform @extschema@.sparse_attach_wire();
    perform @extschema@.sparse_attach_savings();
    perform @extschema@.sparse_attach_routing();
end
$function$;
comment on function sparse_attach_store() is
'The part of sparse_create_store() and sparse_update_store() that makes those triggers and views of the store which need the extension''s functions, where they are missing.';

create function sparse_create_store()
returns void
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
begin
    if exists (select from pg_namespace where nspname = 'sparse') then
        raise exception 'schema "sparse" exists already'
            using errcode = 'duplicate_schema',
                  hint = case when to_regclass('sparse.store') is null
                              then 'It is no store. sparse_create_store() makes that schema itself: rename or drop the one that is there.'
                              else 'It holds a store already. After "drop extension sparse cascade" and "create extension sparse" run sparse_update_store().' end;
    end if;
    if (select rolsuper from pg_roles where rolname = current_user) then
        raise warning 'a superuser will own the store: %', quote_ident(current_user)
            using detail = 'Functions of sparse act as the owner of the store: it should hold no other rights.',
                  hint = 'Make it as a role of its own: "create role sparse_owner nologin", "grant create on database ... to sparse_owner", "set role sparse_owner", "select sparse_create_store()".';
    end if;

    create schema sparse;
    comment on schema sparse is 'store of the extension sparse: versions of models and datasets';

    create table sparse.store (
        format integer not null check (format >= 1),
        one boolean primary key default true check (one)
    );
    comment on table sparse.store is 'what these tables are: a version of sparse that does not know their format leaves them alone';
    insert into sparse.store (format) values (1);

    create table sparse.place (
        id smallint primary key,
        name text not null unique
    );
    comment on table sparse.place is 'where chunks lie; 0 is here';
    insert into sparse.place values (0, 'here');

    create table sparse.family (
        id bigint generated by default as identity primary key,
        place smallint not null default 0 references sparse.place,
        name text not null,
        repack_begun_at timestamptz,
        repacked_at timestamptz,
        repacked_versions bigint not null default 0
    );
    comment on table sparse.family is 'groups of kin: versions that may be predicted from each other';
    comment on column sparse.family.repack_begun_at is 'when sparse_repack() last turned to it: it comes to all others before';
    comment on column sparse.family.repacked_at is 'when sparse_repack() last came to its end';
    comment on column sparse.family.repacked_versions is 'how many versions it had then';

    create table sparse.version (
        id bigint generated by default as identity primary key,
        kind text not null default 'model' check (kind in ('model', 'dataset')),
        name text not null check (length(name) >= 1 and length(name) <= 512 and name ~ '[^0-9]' and name !~ E'[@\\x01-\\x1f\\x7f]'),
        revision integer not null check (revision > 0),
        family bigint not null references sparse.family,
        state text not null default 'open' check (state in ('open', 'ready', 'dropped')),
        exact boolean not null default true,
        created_at timestamptz not null default now(),
        created_by text not null default current_user,
        dropped_at timestamptz,
        collected_at timestamptz,
        message text,
        metadata jsonb not null default '{}',
        content_sha256 bytea check (length(content_sha256) = 32),
        files integer not null default 0,
        tensors integer not null default 0,
        raw_bytes bigint not null default 0,
        unique_file_bytes bigint not null default 0,
        new_objects integer not null default 0,
        new_bytes bigint not null default 0,
        stored_bytes bigint not null default 0,
        by_predictor jsonb not null default '{}',
        zstd_bytes bigint check (zstd_bytes >= 0),
        unique (name, revision),
        check ((state = 'dropped') = (dropped_at is not null)),
        check (state <> 'ready' or content_sha256 is not null)
    );
    -- a prefix of a name is found by the index on names or by the order of ids: the planner must know how many have it
    alter table sparse.version alter column name set statistics 1000;
    create index version_family on sparse.version (family, id);
    create index version_name_prefix on sparse.version (name text_pattern_ops);
    create index version_created_by on sparse.version (created_by);
    create index version_created_at on sparse.version (created_at);
    create index version_month on sparse.version ((date_trunc('month', created_at at time zone 'UTC')::date));
    create index version_metadata on sparse.version using gin (metadata jsonb_path_ops);
    comment on table sparse.version is 'immutable versions of models and datasets, and tombstones of dropped ones';
    comment on column sparse.version.content_sha256 is 'SHA-256 over path, size and SHA-256 of every file, in order of path; of a dataset over its splits and columns (docs/reference.md)';
    comment on column sparse.version.raw_bytes is 'bytes of all files, or of all values of a dataset';
    comment on column sparse.version.unique_file_bytes is 'bytes of those files, each once, that no other version had when it was imported; of a dataset all or nothing';
    comment on column sparse.version.new_objects is 'objects first stored with this version that are still there';
    comment on column sparse.version.new_bytes is 'content bytes of those objects';
    comment on column sparse.version.stored_bytes is 'bytes of their deltas';
    comment on column sparse.version.by_predictor is 'the same three for each predictor: {"parent": {"objects": 9, "content_bytes": 9000, "stored_bytes": 2000}}';
    comment on column sparse.version.zstd_bytes is 'what zstd -3 would make of its files, each for itself, as sparse_measure_zstd() found; null: not measured';

    create table sparse.tag (
        name text not null,
        tag text not null check (length(tag) >= 1 and length(tag) <= 128 and tag ~ '[^0-9]' and tag !~ E'[@\\x01-\\x1f\\x7f]'),
        version bigint not null references sparse.version,
        moved_at timestamptz not null default clock_timestamp(),
        moved_by text not null default current_user,
        primary key (name, tag)
    );
    create index tag_version on sparse.tag (version);
    create index tag_tag on sparse.tag (tag, version);
    comment on table sparse.tag is 'tags: names that move from one version of a name to another';
    comment on column sparse.tag.name is 'the name of the version';

    create table sparse.parent (
        child bigint not null references sparse.version,
        ordinal smallint not null check (ordinal >= 0),
        parent bigint not null references sparse.version,
        role text not null default 'finetune',
        primary key (child, ordinal),
        unique (child, parent, role),
        check (parent < child)
    );
    create index parent_parent on sparse.parent (parent, child);

    create table sparse.object (
        id bigint generated by default as identity primary key,
        place smallint not null references sparse.place,
        sha256 bytea unique check (length(sha256) = 32),
        dtype text not null,
        bytes bigint not null check (bytes >= 0),
        stored_bytes bigint not null default 0,
        chunk_bytes integer not null check (chunk_bytes > 0),
        split_bytes bigint not null default 0 check (split_bytes >= 0 and split_bytes <= bytes),
        predictor text not null default 'none',
        depth integer not null default 0 check (depth >= 0),
        version bigint,
        unique (id, depth)
    );
    create index object_version on sparse.object (version);
    comment on table sparse.object is 'content, once in the whole store: SHA-256 is its identity';
    comment on column sparse.object.place is 'where its chunks lie';
    comment on column sparse.object.sha256 is 'null while it is staged: what it is said to become stands in sparse.staged';
    comment on column sparse.object.split_bytes is 'the grid of chunks starts anew here (0: nowhere): what lies before is predicted, what lies behind is not';
    comment on column sparse.object.depth is 'longest chain of predictions below it';
    comment on column sparse.object.version is 'the version with which it was first stored, in whose counters it stands; that may be a tombstone by now';

    create table sparse.object_parent (
        object bigint not null,
        depth integer not null,
        ordinal smallint not null check (ordinal >= 0),
        parent bigint not null,
        parent_depth integer not null,
        made boolean not null default false,
        primary key (object, ordinal),
        foreign key (object, depth) references sparse.object (id, depth) on delete cascade on update cascade,
        foreign key (parent, parent_depth) references sparse.object (id, depth) on update cascade,
        check (parent_depth < depth)
    );
    create index object_parent_parent on sparse.object_parent (parent);
    comment on table sparse.object_parent is 'which objects an object is predicted from; depth falls along every edge, so there is no cycle';
    comment on column sparse.object_parent.made is 'the parent was worked out of the object and its other parents, for it alone: a factor, a scale';

    create table sparse.chunk (
        place smallint not null,
        object bigint not null,
        seq integer not null check (seq >= 0),
        delta bytea not null
    ) partition by list (place);
    alter table sparse.chunk alter column delta set storage external;
    comment on table sparse.chunk is 'the pieces of objects, in order';
    comment on column sparse.chunk.place is 'that of its object';
    comment on column sparse.chunk.delta is 'the bytes of an sdelta, which its functions take as they are. Of a type of the server, so that no "drop extension ... cascade" takes it along';

    create table sparse.chunk_0 partition of sparse.chunk (
        primary key (object, seq),
        foreign key (object) references sparse.object (id) on delete cascade
    ) for values in (0);

    create table sparse.upload (
        version bigint primary key references sparse.version,
        declaration bytea not null check (length(declaration) = 32),
        begun_at timestamptz not null default now(),
        new_objects integer not null default 0,
        new_bytes bigint not null default 0,
        stored_bytes bigint not null default 0,
        held boolean not null default false
    );
    create index upload_declaration on sparse.upload (declaration);
    comment on table sparse.upload is 'versions that sparse_begin() opened and nobody has committed or given up yet';
    comment on column sparse.upload.declaration is 'SHA-256 over everything that it was begun with: who begins it again goes on with it';
    comment on column sparse.upload.begun_at is 'when it was last begun';
    comment on column sparse.upload.held is 'whether its client had all tensors of its parents: it looked through them itself';
    comment on column sparse.upload.new_objects is 'objects stored when it was begun: headers';

    create table sparse.staged (
        object bigint primary key,
        version bigint not null references sparse.upload,
        sha256 bytea not null check (length(sha256) = 32),
        source bigint,
        declared boolean not null default false,
        unique (version, sha256)
    );
    create index staged_source on sparse.staged (source);
    comment on table sparse.staged is 'objects of open versions, which nothing but each other refers to; they become objects like all others when their version is committed';
    comment on column sparse.staged.sha256 is 'what the client says it will be; checked by the commit';
    comment on column sparse.staged.source is 'the object that a client''s deltas may refer to';
    comment on column sparse.staged.declared is 'its chunks refer to what the client has named; what that is, object_parent says';

    -- The version decides who sees what belongs to it.
    alter table sparse.parent enable row level security;
    alter table sparse.tag enable row level security;
    create policy of_version on sparse.parent for select
        using (exists (select from sparse.version v where v.id = child)
               and exists (select from sparse.version v where v.id = parent));

    create policy of_version on sparse.tag for select
        using (exists (select from sparse.version v where v.id = version));

    -- what each layer brings
    perform @extschema@.sparse_create_parents();
    perform @extschema@.sparse_create_places();
    perform @extschema@.sparse_create_model();
    perform @extschema@.sparse_create_wire();
    perform @extschema@.sparse_create_dataset();
    perform @extschema@.sparse_create_lineage();
    perform @extschema@.sparse_create_savings();
    perform @extschema@.sparse_create_care();
    perform @extschema@.sparse_create_routing();
    perform @extschema@.sparse_create_hub();
    perform @extschema@.sparse_attach_store();
end
$function$;
comment on function sparse_create_store() is
'Makes schema "sparse" with the tables of a store, owned by the caller.';

create function sparse_drop(version bigint)
returns void
language c
volatile strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'version_drop_sql';
comment on function sparse_drop(bigint) is
'Drops a version: it can no longer be read, its row stays as a tombstone. Its bytes go with sparse_collect().';

create function sparse_drop(version text)
returns void
language c
volatile strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'version_drop_sql';
comment on function sparse_drop(text) is
'Drops a version: it can no longer be read, its row stays as a tombstone. Its bytes go with sparse_collect().';

create function sparse_undrop(version bigint)
returns void
language c
volatile strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'version_undrop_sql';
comment on function sparse_undrop(bigint) is
'Takes back that a version was dropped; an error once sparse_collect() has removed what it was made of.';

create function sparse_undrop(version text)
returns void
language c
volatile strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'version_undrop_sql';
comment on function sparse_undrop(text) is
'Takes back that a version was dropped; an error once sparse_collect() has removed what it was made of.';

create function sparse_collect(
    open_older_than interval default '1 day',
    out versions bigint,
    out objects bigint,
    out chunks bigint,
    out bytes bigint
)
language c
volatile strict
parallel unsafe
set search_path = pg_catalog, pg_temp
set row_security = off
as 'MODULE_PATHNAME', 'sparse_collect';
comment on function sparse_collect(interval) is
'Removes what dropped versions, and open ones older than given, alone needed. For the store''s owner; writers wait, readers go on.';
