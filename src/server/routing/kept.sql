/*
 * kept.sql: what each version weighs, kept when it becomes ready: a route reads a row for each version, and
 * not all of its tensors.
 *
 * A row that is missing is computed anew for each route, so nothing but time depends on the table. It is what
 * sparse_weigh_alone() finds as the store's owner; what an adapter runs on is found by each route, as its caller.
 */

create function sparse_version_weighed()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    if tg_relid <> 'sparse.version'::regclass or tg_when <> 'AFTER' or tg_op <> 'UPDATE' or tg_level <> 'ROW' then
        raise exception 'sparse_version_weighed() must be fired by its own trigger'
            using errcode = '39P01';
    end if;
    delete from sparse.weight k where k.version = new.id;
    if new.kind = 'model' then
        insert into sparse.weight select new.id, w.weight_bytes, w.parameters, w.expert_fraction, w.experts, w.experts_used, w.dtype, w.kv_elements, w.attention, w.assumed, w.class, w.quantisation, w.computes, w.read_bytes, w.positions, w.sliding_window, w.window_elements, w.window_attention, w.state_elements, w.layers, w.hidden from @extschema@.sparse_weigh_alone(new.id) w;
    end if;
    return null;
end
$function$;
comment on function sparse_version_weighed() is
'Trigger of sparse.version: keeps what a version weighs when it becomes ready, and anew when the store''s owner changes its metadata.';

create function sparse_weights_outdated()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
    if tg_relid <> all (array['sparse.config_key', 'sparse.model_type', 'sparse.quantisation']::regclass[]) or tg_when <> 'AFTER' or tg_level <> 'STATEMENT' then
        raise exception 'sparse_weights_outdated() must be fired by its own trigger'
            using errcode = '39P01';
    end if;
    delete from sparse.weight;
    return null;
end
$function$;
comment on function sparse_weights_outdated() is
'Trigger of the tables by which configs are read: forgets what was read by them. sparse_keep_weights() reads it anew.';

create function sparse_quality_bound(score double precision, samples bigint, standard_error double precision, z double precision)
returns double precision
language sql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $function$
    select case when standard_error is not null then score - z * standard_error
                -- Wilson, Probable Inference, 1927
                when samples is not null and score between 0 and 1
                then (score + z * z / (2 * samples) - z * sqrt(score * (1 - score) / samples + z * z / (4.0 * samples * samples))) / (1 + z * z / samples)
                else score end
$function$;
comment on function sparse_quality_bound(double precision, bigint, double precision, double precision) is
'The least that a score may be worth, z standard errors below it: by its standard error, or Wilson''s bound of a share of so many answers.';

create function sparse_keep_weights_of()
returns bigint
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
set jit = off
as $function$
declare
    kept bigint;
begin
    insert into sparse.weight
    select v.id, w.weight_bytes, w.parameters, w.expert_fraction, w.experts, w.experts_used, w.dtype, w.kv_elements, w.attention, w.assumed, w.class, w.quantisation, w.computes, w.read_bytes, w.positions, w.sliding_window, w.window_elements, w.window_attention, w.state_elements, w.layers, w.hidden
    from sparse.version v
    cross join lateral @extschema@.sparse_weigh_alone(v.id) w
    where v.kind = 'model' and v.state = 'ready' and not exists (select from sparse.weight k where k.version = v.id);
    get diagnostics kept = row_count;
    return kept;
end
$function$;
comment on function sparse_keep_weights_of() is
'What sparse_keep_weights() does, as whoever calls it.';

create function sparse_keep_weights()
returns bigint
language c
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'call_as_owner';
comment on function sparse_keep_weights() is
'Weighs all versions of which that is not kept: after a change of the tables by which configs are read. For the store''s owner.';

create function sparse_attach_routing()
returns void
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
declare
    missing record;
begin
    perform @extschema@.sparse_create_configs();
    perform @extschema@.sparse_complete_routing();
    if to_regclass('sparse.weight') is null then
        create table sparse.weight (
            version bigint primary key references sparse.version on delete cascade,
            weight_bytes double precision,
            parameters double precision,
            expert_fraction double precision,
            experts double precision,
            experts_used double precision,
            dtype text,
            kv_elements double precision,
            attention double precision,
            assumed text[],
            class text,
            quantisation text,
            computes text,
            read_bytes double precision,
            positions double precision,
            sliding_window double precision,
            window_elements double precision,
            window_attention double precision,
            state_elements double precision,
            layers double precision,
            hidden double precision
        );
        comment on table sparse.weight is 'what versions weigh, as sparse_weights() found when they became ready, without the bases of adapters; computed anew where a row is missing';
        -- who may not read tensors learns nothing of them here either
        alter table sparse.weight enable row level security;
        create policy of_version on sparse.weight for select
            using (has_table_privilege('sparse.tensor', 'select') and has_table_privilege('sparse.file', 'select')
                   and exists (select from sparse.version v where v.id = version and v.state <> 'open'));
        grant select on sparse.weight to public;
    end if;
    if not exists (select from pg_attribute where attrelid = 'sparse.quality'::regclass and attname = 'samples') then
        alter table sparse.quality
            add column samples bigint check (samples > 0),
            add column standard_error double precision check (standard_error >= 0 and standard_error < 'infinity'),
            add column measured_on date;
        comment on column sparse.quality.samples is 'how many answers a score from 0 to 1 is the share of: it is as uncertain as that makes it';
        comment on column sparse.quality.standard_error is 'of the score, where it is another measure; both null: the score is taken as it stands';
        comment on column sparse.quality.measured_on is 'when it was measured';
    end if;
    for missing in
        select t.name, t.relation, t.definition
        from (values
            ('version_weighed', 'version',
             $trigger$after update of state, metadata on sparse.version
             for each row when (new.state <> 'open' and (old.state = 'open' or new.metadata <> old.metadata))
             execute function @extschema@.sparse_version_weighed()$trigger$),
            ('config_key_outdated', 'config_key',
             'after insert or update or delete or truncate on sparse.config_key execute function @extschema@.sparse_weights_outdated()'),
            ('model_type_outdated', 'model_type',
             'after insert or update or delete or truncate on sparse.model_type execute function @extschema@.sparse_weights_outdated()'),
            ('quantisation_outdated', 'quantisation',
             'after insert or update or delete or truncate on sparse.quantisation execute function @extschema@.sparse_weights_outdated()')) t (name, relation, definition)
        where not exists (select from pg_trigger g
                          where g.tgrelid = format('sparse.%I', t.relation)::regclass and g.tgname = t.name)
    loop
        execute format('create trigger %I %s', missing.name, missing.definition);
    end loop;
    perform @extschema@.sparse_keep_weights_of();
end
$function$;
comment on function sparse_attach_routing() is
'The part of sparse_attach_store() that makes the table of weights and its triggers, the uncertainty of scores, and weighs versions, where that is missing.';
