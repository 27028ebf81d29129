/*
 * request.sql: what a request may say. A key that is not known, or a value of the
 * wrong type, is refused by name: a misspelt floor must not route as if there were none.
 */

create function sparse_routing_check(request jsonb, kinds jsonb)
returns void
language plpgsql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $function$
declare
    item record;
begin
    if request is null or jsonb_typeof(request) <> 'object' then
        raise exception 'a routing request is a JSON object'
            using errcode = 'invalid_parameter_value';
    end if;
    for item in select e.key, e.value, kinds ->> e.key as kind from jsonb_each(request) e order by e.key loop
        if item.kind is null then
            raise exception 'unknown key "%" in a routing request', item.key
                using errcode = 'invalid_parameter_value',
                      hint = format('The keys are %s.', (select string_agg(k, ', ' order by k) from jsonb_object_keys(kinds) k));
        end if;
        if position(jsonb_typeof(item.value) in item.kind) = 0 then
            raise exception '"%" of a routing request must be of type %, not %', item.key, item.kind, jsonb_typeof(item.value)
                using errcode = 'invalid_parameter_value';
        end if;
        if jsonb_typeof(item.value) = 'number' and item.key not in ('quality_floor', 'family', 'version', 'id') and (item.value #>> '{}')::numeric not between 0 and 1e9 then
            raise exception '"%" of a routing request is out of range', item.key
                using errcode = 'numeric_value_out_of_range',
                      detail = format('It is %s and may be 0 to 1000000000.', item.value);
        end if;
    end loop;
end
$function$;
comment on function sparse_routing_check(jsonb, jsonb) is
'Refuses a request with a key that kinds does not name, or a value of another type.';

create function sparse_routing_versions_of(request jsonb)
returns setof bigint
language plpgsql
stable
parallel unsafe
set search_path = pg_catalog, pg_temp
-- planned for what the request says: one family of many is read by its index
set plan_cache_mode = force_custom_plan
as $function$
declare
    listed bigint[];
    kin bigint;
begin
    if not request ?| array['family', 'tag', 'name', 'versions'] then
        raise exception 'a routing request says which versions are allowed'
            using errcode = 'invalid_parameter_value',
                  hint = 'Give at least one of family, tag, name and versions.';
    end if;
    if request ? 'versions' then
        if exists (select from jsonb_array_elements(request -> 'versions') e where jsonb_typeof(e) not in ('string', 'number')) then
            raise exception '"versions" of a routing request holds names and ids only'
                using errcode = 'invalid_parameter_value';
        end if;
        select coalesce(array_agg(@extschema@.sparse_resolve(e)), '{}') into listed
        from jsonb_array_elements_text(request -> 'versions') e;
    end if;
    if jsonb_typeof(request -> 'family') = 'string' then
        select v.family into kin from sparse.version v where v.id = @extschema@.sparse_resolve(request ->> 'family');
    else
        if (request ->> 'family')::numeric % 1 <> 0 then
            raise exception '"family" of a routing request is a whole number, or the name of a version'
                using errcode = 'invalid_parameter_value';
        end if;
        kin := (request ->> 'family')::numeric::bigint;
    end if;
    return query
        select v.id
        from sparse.version v
        where v.state = 'ready'
          and v.kind = 'model'
          and (listed is null or v.id = any (listed))
          and (kin is null or v.family = kin)
          and (not request ? 'name' or v.name = request ->> 'name')
          and (not request ? 'tag' or exists (select from sparse.tag t where t.version = v.id and t.tag = request ->> 'tag'));
end
$function$;
comment on function sparse_routing_versions_of(jsonb) is
'What sparse_routing_versions() finds, as whoever calls it.';

create function sparse_routing_versions(request jsonb)
returns setof bigint
language c
stable
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'call_as_reader';
comment on function sparse_routing_versions(jsonb) is
'The ready models that a request allows and the caller can see.';
