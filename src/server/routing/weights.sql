/*
 * weights.sql: what a version weighs in memory, from its tensors and the
 * config.json in its metadata. What is not known is assumed, and said.
 */

create function sparse_dtype_bytes(dtype text)
returns double precision
language sql
immutable strict
parallel safe
set search_path = pg_catalog, pg_temp
as $function$
    select case when dtype in ('F64', 'I64', 'U64', 'C64') then 8
                when dtype in ('F32', 'I32', 'U32') then 4
                when dtype in ('F16', 'BF16', 'I16', 'U16') then 2
                when dtype like 'F6%' then 0.75
                when dtype like 'F4%' then 0.5
                else 1 end::double precision
$function$;
comment on function sparse_dtype_bytes(text) is
'Bytes of an element of a safetensors dtype.';

create function sparse_config_number(config jsonb, key text)
returns double precision
language sql
immutable strict
parallel safe
set search_path = pg_catalog, pg_temp
as $function$
    select case when jsonb_typeof(config -> key) = 'number' and (config ->> key)::numeric between 0 and 1e12 then (config ->> key)::double precision end
$function$;
comment on function sparse_config_number(jsonb, text) is
'A number of a config.json; null where it is none, or one that no model has.';

create function sparse_weigh(
    version bigint,
    out weight_bytes double precision,
    out parameters double precision,
    out expert_fraction double precision,
    out experts double precision,
    out experts_used double precision,
    out dtype text,
    out kv_elements double precision,
    out attention double precision,
    out assumed text[]
)
language plpgsql
stable strict
parallel safe
set search_path = pg_catalog, pg_temp
as $function$
#variable_conflict use_column
begin
    with v as (
        select r.id, r.raw_bytes::double precision as raw_bytes,
               case when jsonb_typeof(r.metadata -> 'config') = 'object' then r.metadata -> 'config' else r.metadata end as config
        from sparse.version r
        where r.id = $1
    ), c as (
        select v.id, v.raw_bytes, v.config ->> 'torch_dtype' as torch_dtype,
               @extschema@.sparse_config_number(v.config, 'num_hidden_layers') as layers,
               @extschema@.sparse_config_number(v.config, 'hidden_size') as hidden,
               @extschema@.sparse_config_number(v.config, 'num_attention_heads') as heads,
               @extschema@.sparse_config_number(v.config, 'num_key_value_heads') as kv_heads,
               @extschema@.sparse_config_number(v.config, 'head_dim') as head_dim,
               coalesce(@extschema@.sparse_config_number(v.config, 'moe_intermediate_size'),
                        @extschema@.sparse_config_number(v.config, 'intermediate_size')) as inner_size,
               coalesce(@extschema@.sparse_config_number(v.config, 'num_local_experts'),
                        @extschema@.sparse_config_number(v.config, 'num_experts')) as experts,
               @extschema@.sparse_config_number(v.config, 'num_experts_per_tok') as used
        from v
    ), by_dtype as (
        select t.dtype, sum(t.bytes)::double precision as bytes,
               sum(t.bytes) filter (where t.name like '%.experts.%')::double precision as expert_bytes
        from sparse.tensor t
        where t.version = $1
        group by t.dtype
    ), t as (
        select nullif(sum(b.bytes), 0) as bytes,
               sum(b.bytes / @extschema@.sparse_dtype_bytes(b.dtype)) as elements,
               coalesce(sum(b.expert_bytes), 0) as expert_bytes,
               (array_agg(b.dtype order by b.bytes desc, b.dtype))[1] as dtype
        from by_dtype b
    ), w as (
        select coalesce(t.bytes, c.raw_bytes) as bytes, t.bytes is null as guessed, t.elements, t.expert_bytes,
               coalesce(case when t.bytes is not null then t.dtype end,
                        case c.torch_dtype when 'float32' then 'F32' when 'float16' then 'F16'
                             when 'float8_e4m3fn' then 'F8_E4M3' when 'int8' then 'I8' end, 'BF16') as dtype,
               c.layers, c.hidden, c.experts, c.used, c.torch_dtype,
               c.inner_size,
               coalesce(c.head_dim, c.hidden / nullif(c.heads, 0)) as head_dim,
               coalesce(c.kv_heads, c.heads) as kv_heads,
               c.heads
        from c, t
    ), e as (
        select w.*,
               w.experts > 1 and w.used >= 1 and w.used <= w.experts as sparse_model,
               case when w.guessed
                    then 3 * w.layers * w.hidden * w.inner_size * w.experts * @extschema@.sparse_dtype_bytes(w.dtype)
                    else nullif(w.expert_bytes, 0) end as moe_bytes
        from w
    )
    select e.bytes,
           case when e.guessed then e.bytes / @extschema@.sparse_dtype_bytes(e.dtype) else e.elements end,
           case when e.sparse_model then coalesce(least(e.moe_bytes / nullif(e.bytes, 0), 1), 0) else 0 end,
           case when e.sparse_model then e.experts else 1 end,
           case when e.sparse_model then e.used else 1 end,
           e.dtype,
           2 * e.layers * e.kv_heads * e.head_dim,
           e.layers * e.heads * e.head_dim,
           array_remove(array[
               case when e.guessed then 'all bytes of its files are weights in ' || e.dtype end,
               case when 2 * e.layers * e.kv_heads * e.head_dim is null
                    then 'no KV cache and no attention, as there is no config of its layers and heads' end,
               case when e.sparse_model and e.moe_bytes is null then 'every expert is used, as their share is not known' end], null)
    into weight_bytes, parameters, expert_fraction, experts, experts_used, dtype, kv_elements, attention, assumed
    from e;
end
$function$;
comment on function sparse_weigh(bigint) is
'What sparse_weights() finds of a model, as whoever calls it; raises nothing, so that a plan may ask it of any version.';

create function sparse_weights_of(
    version bigint,
    out weight_bytes double precision,
    out parameters double precision,
    out expert_fraction double precision,
    out experts double precision,
    out experts_used double precision,
    out dtype text,
    out kv_elements double precision,
    out attention double precision,
    out assumed text[]
)
language plpgsql
stable strict
parallel safe
set search_path = pg_catalog, pg_temp
as $function$
#variable_conflict use_column
begin
    if exists (select from sparse.version r where r.id = $1 and r.kind = 'dataset') then
        raise exception 'version % is a dataset', $1
            using errcode = 'wrong_object_type', hint = 'Only models have weights.';
    end if;
    select w.* into weight_bytes, parameters, expert_fraction, experts, experts_used, dtype, kv_elements, attention, assumed
    from @extschema@.sparse_weigh($1) w;
end
$function$;
comment on function sparse_weights_of(bigint) is
'What sparse_weights() finds, as whoever calls it.';

create function sparse_weights(
    version bigint,
    out weight_bytes double precision,
    out parameters double precision,
    out expert_fraction double precision,
    out experts double precision,
    out experts_used double precision,
    out dtype text,
    out kv_elements double precision,
    out attention double precision,
    out assumed text[]
)
language c
stable strict
parallel safe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'call_as_reader';
comment on function sparse_weights(bigint) is
'What a version weighs: bytes, parameters, share and use of experts, the dtype of most of it, elements of KV cache a token, and what had to be assumed.';
