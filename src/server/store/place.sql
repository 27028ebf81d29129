/*
 * place.sql: adding, weighing and removing places, and what lies in them (docs/scale.md).
 *
 * Place n is the partition sparse.chunk_n: a table here, or a foreign table on another server, whose table
 * sparse_place.<name> an operator has made there. All of this is for the store's owner himself:
 * what is made here is to belong to him, and by his user mapping the other server is reached.
 */

create function sparse_create_places()
returns void
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
begin
    if to_regclass('sparse.forgotten') is not null then
        return;
    end if;
    -- of a store that was made before, too
    alter table sparse.place add column weight real not null default 1 check (weight >= 0 and weight <= 1e9);
    comment on column sparse.place.weight is 'its share of new families, beside the weights of the others; 0: none';

    create table sparse.forgotten (
        place smallint not null references sparse.place,
        object bigint not null,
        at timestamptz not null default now(),
        primary key (place, object)
    );
    comment on table sparse.forgotten is 'objects that have no chunks any more in a place on another server: sparse_collect() removes those, once no snapshot can want them';
end
$function$;
comment on function sparse_create_places() is
'The part of sparse_create_store() and sparse_update_store() that makes what places need.';

create function sparse_check_place_owner()
returns void
language plpgsql
stable
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
declare
    owner oid := (select relowner from pg_class where oid = 'sparse.object'::regclass);
begin
    perform @extschema@.sparse_store_format();
    if owner <> (select oid from pg_roles where rolname = current_user) then
        raise exception 'only the owner of the store himself manages its places'
            using errcode = 'insufficient_privilege',
                  hint = format('Run "set role %I" first.', owner::regrole::text);
    end if;
end
$function$;
comment on function sparse_check_place_owner() is
'An error where the caller is not the owner of the store, and not only a member of it.';

create function sparse_place_id(name text)
returns smallint
language plpgsql
stable strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
declare
    found smallint := (select p.id from sparse.place p where p.name = $1);
begin
    if found is null then
        raise exception 'place "%" does not exist', name
            using errcode = 'undefined_object',
                  hint = 'sparse_places() lists them.';
    end if;
    return found;
end
$function$;
comment on function sparse_place_id(text) is
'The number of a place; an error where there is none of that name.';

create function sparse_add_place(
    name text,
    server text default null,
    tablespace text default null,
    weight real default 1
)
returns smallint
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
declare
    new_id smallint;
    held boolean;
    twice bigint;
begin
    perform @extschema@.sparse_check_place_owner();
    if name is null or name !~ '^[a-z][a-z0-9_]{0,39}$' then
        raise exception 'a place cannot be named "%"', name
            using errcode = 'invalid_parameter_value',
                  hint = 'Names are of lower-case letters, digits and underscores, begin with a letter, and have at most 40 of them.';
    elsif server is not null and tablespace is not null then
        raise exception 'a place is on another server or in a tablespace of this one'
            using errcode = 'invalid_parameter_value';
    end if;
    lock table sparse.place in share row exclusive mode;
    new_id := (select max(p.id) + 1 from sparse.place p);
    insert into sparse.place (id, name, weight) values (new_id, name, coalesce(weight, 1));
    if server is null then
        execute format('create table sparse.%I partition of sparse.chunk (
                            primary key (object, seq)%s,
                            foreign key (object) references sparse.object (id) on delete cascade
                        ) for values in (%s) %s',
                       'chunk_' || new_id,
                       case when tablespace is null then '' else format(' using index tablespace %I', tablespace) end, new_id,
                       case when tablespace is null then '' else format('tablespace %I', tablespace) end);
        return new_id;
    end if;
    execute format('create foreign table sparse.%I partition of sparse.chunk for values in (%s)
                    server %I options (schema_name ''sparse_place'', table_name %L, fetch_size ''16'')',
                   'chunk_' || new_id, new_id, server, name);
    -- a table that holds chunks is another store's; one that takes a row twice would hold chunks twice
    begin
        execute format('select exists (select from sparse.%I)', 'chunk_' || new_id) into held;
        execute format('insert into sparse.%I (place, object, seq, delta) values (%s, 0, 0, '''')', 'chunk_' || new_id, new_id);
        execute format('insert into sparse.%I (place, object, seq, delta) values (%s, 0, 0, '''') on conflict do nothing', 'chunk_' || new_id, new_id);
        get diagnostics twice = row_count;
        execute format('delete from sparse.%I where object = 0', 'chunk_' || new_id);
    exception when undefined_table or invalid_schema_name or undefined_column or insufficient_privilege then
        raise exception '%', sqlerrm
            using errcode = sqlstate,
                  hint = format('Run there: create schema if not exists sparse_place; create table sparse_place.%s (place smallint not null, object bigint not null, seq integer not null, delta bytea not null, primary key (object, seq)); alter table sparse_place.%s alter column delta set storage external; and grant the role of the user mapping usage on that schema, and select, insert, update, delete on that table.', name, name);
    end;
    if held then
        raise exception 'table sparse_place.% on server "%" holds chunks already', name, server
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'A table is a place of one store. If what it holds is a left of this one, truncate it there.';
    elsif twice > 0 then
        raise exception 'table sparse_place.% on server "%" has no primary key', name, server
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'Its primary key must be (object, seq).';
    end if;
    return new_id;
end
$function$;
comment on function sparse_add_place(text, text, text, real) is
'Adds a place for chunks: on another server, in a tablespace, or a table of its own here. For the store''s owner.';

create function sparse_weigh_place(name text, weight real)
returns void
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
begin
    perform @extschema@.sparse_check_place_owner();
    update sparse.place p set weight = $2 where p.id = @extschema@.sparse_place_id($1);
end
$function$;
comment on function sparse_weigh_place(text, real) is
'Sets the share of new families that a place gets; 0: none. For the store''s owner.';

create function sparse_assign(family bigint, place text)
returns void
language plpgsql
volatile strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
begin
    perform @extschema@.sparse_check_place_owner();
    update sparse.family f set place = @extschema@.sparse_place_id($2) where f.id = $1;
    if not found then
        raise exception 'family % does not exist', $1
            using errcode = 'undefined_object';
    end if;
end
$function$;
comment on function sparse_assign(bigint, text) is
'What is stored for a family from now on lies in that place; what is there stays. For the store''s owner.';

create function sparse_remove_place(name text)
returns void
language plpgsql
volatile strict
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
declare
    old_id smallint := @extschema@.sparse_place_id($1);
    kind "char" := (select relkind from pg_class where oid = to_regclass('sparse.chunk_' || old_id));
    held bigint;
begin
    perform @extschema@.sparse_check_place_owner();
    if old_id = 0 then
        raise exception 'place "%" is where the store is', $1
            using errcode = 'object_not_in_prerequisite_state';
    end if;
    lock table sparse.object in share row exclusive mode;
    select count(*) into held from sparse.object o where o.place = old_id;
    if held > 0 or exists (select from sparse.family f where f.place = old_id) then
        raise exception 'place "%" is in use', $1
            using errcode = 'object_not_in_prerequisite_state',
                  detail = format('%s families are assigned to it, and %s objects lie there.',
                                  (select count(*) from sparse.family f where f.place = old_id), held),
                  hint = 'Move them with sparse_move_family; a family of null is what belongs to none.';
    end if;
    if kind = 'f' then
        execute format('select count(*) from sparse.%I', 'chunk_' || old_id) into held;
        if held > 0 then
            raise exception 'place "%" still holds % chunks that nothing needs any more', $1, held
                using errcode = 'object_not_in_prerequisite_state',
                      hint = 'sparse_collect() removes them once they are older than its argument and no snapshot can want them.';
        end if;
        delete from sparse.forgotten f where f.place = old_id;
        execute format('drop foreign table sparse.%I', 'chunk_' || old_id);
    else
        execute format('drop table sparse.%I', 'chunk_' || old_id);
    end if;
    delete from sparse.place p where p.id = old_id;
end
$function$;
comment on function sparse_remove_place(text) is
'Removes a place in which nothing lies any more. For the store''s owner.';

create function sparse_places(
    out id smallint,
    out name text,
    out kind text,
    out server text,
    out weight real,
    out families bigint,
    out objects bigint,
    out stored_bytes bigint,
    out forgotten bigint,
    out state text
)
returns setof record
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
declare
    relation regclass;
begin
    perform @extschema@.sparse_check_place_owner();
    for id, name, weight in
        select p.id, p.name, p.weight from sparse.place p order by p.id
    loop
        relation := ('sparse.chunk_' || id)::regclass;
        select case when c.relkind = 'f' then 'server' when c.reltablespace <> 0 then 'tablespace' else 'table' end,
               coalesce(s.srvname, t.spcname)
        into kind, server
        from pg_class c
        left join pg_foreign_table f on f.ftrelid = c.oid
        left join pg_foreign_server s on s.oid = f.ftserver
        left join pg_tablespace t on t.oid = c.reltablespace
        where c.oid = relation;
        select count(*) into families from sparse.family f where f.place = sparse_places.id;
        select count(*), coalesce(sum(o.stored_bytes), 0)::bigint into objects, stored_bytes
        from sparse.object o where o.place = sparse_places.id;
        select count(*) into forgotten from sparse.forgotten f where f.place = sparse_places.id;
        state := 'up';
        if kind = 'server' then
            begin
                execute format('select from %s limit 1', relation);
            exception when connection_exception or sqlclient_unable_to_establish_sqlconnection or connection_failure
                        or admin_shutdown or crash_shutdown or cannot_connect_now then
                state := 'down: ' || sqlerrm;
            end;
        end if;
        return next;
    end loop;
end
$function$;
comment on function sparse_places() is
'The places of the store: what lies in each, and whether it answers. For the store''s owner.';
