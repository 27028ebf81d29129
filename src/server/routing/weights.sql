/*
 * weights.sql: what a version weighs in memory, from its tensors, its files and the
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

-- Integers hold several weights, and what belongs to a quantisation (scales, zeros, orders) holds none.
create function sparse_weights_held(name text, dtype text, bits double precision)
returns double precision
language sql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $function$
    select case when name ~ '(\.|_)(qzeros|scales|g_idx|absmax|quant_map|quant_state[^/]*|weight_scale(_inv|_2)?|input_scale|weight_zero_point|weight_shape|biases)$' then 0
                when dtype in ('I32', 'U32') and name ~ '\.(qweight|weight_packed|weight)$' then 32 / coalesce(bits, 4)
                when dtype = 'U8' and name ~ '(_blocks|\.weight|\.weight_packed)$' then 8 / coalesce(bits, 4)
                else 1 end
$function$;
comment on function sparse_weights_held(text, text, double precision) is
'How many weights of a model one element of a tensor holds: 8 in 32 bits of a packed quantisation, none in its scales.';

-- Of a model in GGUF files: the largest, with its parts, and what its name says of its quantisation.
create function sparse_gguf(
    version bigint,
    out bytes double precision,
    out quantisation text,
    out bits double precision,
    out copies bigint
)
language plpgsql
stable strict
parallel safe
set search_path = pg_catalog, pg_temp
as $function$
#variable_conflict use_column
begin
    select g.bytes, q.name, q.bits_per_weight, count(*) over ()
    into bytes, quantisation, bits, copies
    from (select regexp_replace(f.path, '-[0-9]{5}-of-[0-9]{5}\.gguf$', '.gguf') as path, sum(f.bytes)::double precision as bytes
          from sparse.file f
          where f.version = $1 and f.path like '%.gguf' and f.path not like '%mmproj%'
          group by 1) g
    left join lateral (select q.name, q.bits_per_weight
                       from sparse.quantisation q
                       where g.path ~* ('(^|[^A-Za-z0-9_])' || q.name || '([^A-Za-z0-9_]|$)')
                       order by length(q.name) desc
                       limit 1) q on true
    order by g.bytes desc, g.path
    limit 1;
end
$function$;
comment on function sparse_gguf(bigint) is
'The largest model in GGUF files of a version: bytes, quantisation and bits a weight by its name, and how many there are.';

create function sparse_weigh_alone(
    version bigint,
    out weight_bytes double precision,
    out parameters double precision,
    out expert_fraction double precision,
    out experts double precision,
    out experts_used double precision,
    out dtype text,
    out kv_elements double precision,
    out attention double precision,
    out assumed text[],
    out class text,
    out quantisation text,
    out computes text,
    out read_bytes double precision,
    out positions double precision,
    out sliding_window double precision,
    out window_elements double precision,
    out window_attention double precision,
    out state_elements double precision,
    out layers double precision,
    out hidden double precision,
    out base bigint
)
language plpgsql
stable strict
parallel safe
set search_path = pg_catalog, pg_temp
as $function$
#variable_conflict use_column
declare
    v record;
    t record;
    a record;
    g record;
    expert_bytes double precision;
    guessed boolean;
begin
    select r.raw_bytes::double precision as raw_bytes, r.metadata,
           -- what its config.json says, and what was given by hand before that; of its quantisation another file may tell
           case when jsonb_typeof(r.metadata) = 'object'
                then case when r.metadata ? 'quantization_config' then jsonb_build_object('quantization_config', r.metadata -> 'quantization_config') else '{}' end
                     || case when jsonb_typeof(r.metadata -> 'config') = 'object' then r.metadata -> 'config' else '{}' end
                     || (r.metadata - array['config', 'quantization_config'])
                else r.metadata end as config,
           exists (select from sparse.file f
                   where f.version = r.id and f.path ~ '(^|/)(adapter_config\.json|adapter_model\.(safetensors|bin))$') as is_adapter,
           exists (select from sparse.file f where f.version = r.id and f.path ~ '(^|/)(modules\.json|1_Pooling/config\.json)$')
               or r.metadata ->> 'pipeline_tag' in ('feature-extraction', 'sentence-similarity', 'text-ranking') as is_embedding
    into v
    from sparse.version r
    where r.id = $1;
    if not found then
        return;
    end if;
    select x.* into a from @extschema@.sparse_architecture(v.config) x;

    select sum(d.bytes)::double precision as bytes,
           sum(d.bytes / @extschema@.sparse_dtype_bytes(d.dtype) * d.held) as elements,
           sum(d.bytes) filter (where d.of_expert)::double precision as expert_bytes,
           (array_agg(d.dtype order by d.bytes desc, d.dtype))[1] as dtype,
           -- the table of the vocabulary is read row by row, where the head has weights of its own
           case when bool_or(d.is_head) then coalesce(sum(d.bytes) filter (where d.is_table), 0) else 0 end::double precision as table_bytes,
           coalesce(sum(d.bytes) filter (where d.of_adapter), 0) > 0.5 * sum(d.bytes) as is_adapter
    into t
    from (select t.dtype, sum(t.bytes) as bytes, h.held, k.of_expert, k.is_table, k.is_head, k.of_adapter
          from sparse.tensor t
          cross join lateral @extschema@.sparse_weights_held(t.name, t.dtype, a.bits) h (held)
          cross join lateral (select t.name ~ '(\.experts\.|_exps\.weight$)' as of_expert,
                                     t.name ~ '(^|\.)(embed_tokens|wte|word_embeddings|embed_in|tok_embeddings|token_embd)\.weight$' as is_table,
                                     t.name ~ '(^|\.)(lm_head|embed_out|output)\.weight$' as is_head,
                                     t.name ~* '\.(lora_|dora_|lora_embedding)' as of_adapter) k
          where t.version = $1
          group by t.dtype, h.held, k.of_expert, k.is_table, k.is_head, k.of_adapter) d;

    assumed := '{}';
    guessed := t.bytes is null;
    select x.* into g from @extschema@.sparse_gguf(case when guessed then $1 end) x;
    if guessed then
        if g.bytes is not null then
            weight_bytes := g.bytes;
            quantisation := coalesce(g.quantisation, 'gguf');
            if g.copies > 1 then
                assumed := assumed || format('the largest of %s models in GGUF is run', g.copies);
            end if;
            if g.bits is null then
                assumed := assumed || 'weights of 16 bits in a GGUF file whose name says no other'::text;
            end if;
            parameters := weight_bytes * 8 / coalesce(g.bits, 16);
            dtype := coalesce(a.dtype, 'BF16');
        else
            weight_bytes := v.raw_bytes;
            dtype := coalesce(a.dtype, 'BF16');
            parameters := weight_bytes / @extschema@.sparse_dtype_bytes(dtype);
            assumed := assumed || ('all bytes of its files are weights in ' || dtype);
        end if;
        read_bytes := weight_bytes;
    else
        weight_bytes := t.bytes;
        parameters := t.elements;
        dtype := t.dtype;
        read_bytes := t.bytes - t.table_bytes;
    end if;
    quantisation := coalesce(quantisation, a.quantisation);
    -- what is packed is unpacked to be computed with; floats and integers of 8 bits are not
    computes := case when dtype like 'F8%' or dtype = 'I8' or (dtype in ('F32', 'F64') and quantisation is null) then dtype
                     when dtype in ('F16', 'BF16') then dtype
                     else coalesce(nullif(a.dtype, 'F32'), 'BF16') end;

    class := case when v.is_adapter or coalesce(t.is_adapter, false) then 'adapter'
                  when v.is_embedding then 'embedding'
                  else coalesce(a.class, case when g.bytes is not null then 'decoder' end) end;
    kv_elements := case when class = 'embedding' then 0 else a.kv_elements end;
    window_elements := case when class = 'embedding' then 0 else a.window_elements end;
    state_elements := case when class = 'embedding' then 0 else a.state_elements end;
    attention := a.attention;
    window_attention := a.window_attention;
    sliding_window := a.sliding_window;
    positions := a.positions;
    layers := a.layers;
    hidden := a.hidden;
    experts := a.experts;
    experts_used := a.experts_used;
    expert_bytes := case when a.experts > 1
                         then coalesce(nullif(t.expert_bytes, 0), a.expert_parameters * weight_bytes / nullif(parameters, 0)) end;
    expert_fraction := coalesce(least(expert_bytes / nullif(weight_bytes, 0), 1), 0);

    if class = 'adapter' then
        return;
    end if;
    if kv_elements is null then
        assumed := assumed || 'no KV cache and no attention, as there is no config of its layers and heads'::text;
    end if;
    if state_elements is null and class is distinct from 'encoder' and kv_elements is not null then
        assumed := assumed || 'no state in its layers without attention, whose size is not known'::text;
    end if;
    if experts > 1 and expert_bytes is null then
        assumed := assumed || 'every expert is used, as their share is not known'::text;
    end if;
    if quantisation is not null and a.quantisation is not null and a.bits is null then
        assumed := assumed || 'weights of 4 bits where they are packed'::text;
    end if;
end
$function$;
comment on function sparse_weigh_alone(bigint) is
'What a model is and weighs without the base that an adapter runs on, from its tensors, files and config; raises nothing.';

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
    out assumed text[],
    out class text,
    out quantisation text,
    out computes text,
    out read_bytes double precision,
    out positions double precision,
    out sliding_window double precision,
    out window_elements double precision,
    out window_attention double precision,
    out state_elements double precision,
    out layers double precision,
    out hidden double precision,
    out base bigint
)
language plpgsql
stable strict
parallel safe
set search_path = pg_catalog, pg_temp
as $function$
#variable_conflict use_column
begin
    select k.weight_bytes, k.parameters, k.expert_fraction, k.experts, k.experts_used, k.dtype, k.kv_elements, k.attention, k.assumed, k.class, k.quantisation, k.computes, k.read_bytes, k.positions, k.sliding_window, k.window_elements, k.window_attention, k.state_elements, k.layers, k.hidden
    into weight_bytes, parameters, expert_fraction, experts, experts_used, dtype, kv_elements, attention, assumed, class, quantisation, computes, read_bytes, positions, sliding_window, window_elements, window_attention, state_elements, layers, hidden
    from sparse.weight k
    where k.version = $1;
    if not found then
        select w.weight_bytes, w.parameters, w.expert_fraction, w.experts, w.experts_used, w.dtype, w.kv_elements, w.attention, w.assumed, w.class, w.quantisation, w.computes, w.read_bytes, w.positions, w.sliding_window, w.window_elements, w.window_attention, w.state_elements, w.layers, w.hidden
        into weight_bytes, parameters, expert_fraction, experts, experts_used, dtype, kv_elements, attention, assumed, class, quantisation, computes, read_bytes, positions, sliding_window, window_elements, window_attention, state_elements, layers, hidden
        from @extschema@.sparse_weigh_alone($1) w;
    end if;
    if class = 'adapter' then
        -- it runs on its base, or that of its previous revision: what that weighs, and itself
        with recursive up as (
            select $1 as id, false as found, 0 as depth
            union all
            select one.parent, one.found, u.depth + 1
            from up u
            cross join lateral (select p.parent, p.role <> 'revision' as found
                                from sparse.parent p
                                join sparse.version b on b.id = p.parent
                                where p.child = u.id and b.kind = 'model' and b.state = 'ready'
                                order by p.role = 'revision', p.ordinal
                                limit 1) one
            where not u.found and u.depth < 32
        )
        select u.id into base from up u where u.found;
        if base is not null then
            select w.weight_bytes + weight_bytes, w.parameters + parameters, w.expert_fraction, w.experts, w.experts_used, w.dtype,
                   w.kv_elements, w.attention, w.assumed, w.quantisation, w.computes, w.read_bytes + weight_bytes, w.positions,
                   w.sliding_window, w.window_elements, w.window_attention, w.state_elements, w.layers, w.hidden
            into weight_bytes, parameters, expert_fraction, experts, experts_used, dtype, kv_elements, attention, assumed, quantisation,
                 computes, read_bytes, positions, sliding_window, window_elements, window_attention, state_elements, layers, hidden
            from @extschema@.sparse_weigh(base) w;
        end if;
    end if;
end
$function$;
comment on function sparse_weigh(bigint) is
'What sparse_weights() finds of a model, as whoever calls it; raises nothing, so that a plan may ask it of any version.';

-- Of all versions of a request at once: those that are kept are read with one query.
create function sparse_routing_weights_of(
    request jsonb,
    out version bigint,
    out weight_bytes double precision,
    out parameters double precision,
    out expert_fraction double precision,
    out experts double precision,
    out experts_used double precision,
    out dtype text,
    out kv_elements double precision,
    out attention double precision,
    out assumed text[],
    out class text,
    out quantisation text,
    out computes text,
    out read_bytes double precision,
    out positions double precision,
    out sliding_window double precision,
    out window_elements double precision,
    out window_attention double precision,
    out state_elements double precision,
    out layers double precision,
    out hidden double precision,
    out base bigint
)
returns setof record
language plpgsql
stable
rows 100
parallel unsafe
set search_path = pg_catalog, pg_temp
set jit = off
as $function$
#variable_conflict use_column
declare
    wanted constant bigint[] := array(select @extschema@.sparse_routing_versions_of(request));
begin
    return query
        select k.version, k.weight_bytes, k.parameters, k.expert_fraction, k.experts, k.experts_used, k.dtype, k.kv_elements, k.attention, k.assumed, k.class, k.quantisation, k.computes, k.read_bytes, k.positions, k.sliding_window, k.window_elements, k.window_attention, k.state_elements, k.layers, k.hidden, null::bigint
        from sparse.weight k
        where k.version = any (wanted) and k.class is distinct from 'adapter';
    return query
        select v.id, w.*
        from unnest(wanted) v (id)
        left join sparse.weight k on k.version = v.id
        cross join lateral @extschema@.sparse_weigh(v.id) w
        where k.version is null or k.class = 'adapter';
end
$function$;
comment on function sparse_routing_weights_of(jsonb) is
'The versions that a request allows, and what sparse_weigh() finds of each, as whoever calls it.';

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
    out assumed text[],
    out class text,
    out quantisation text,
    out computes text,
    out read_bytes double precision,
    out positions double precision,
    out sliding_window double precision,
    out window_elements double precision,
    out window_attention double precision,
    out state_elements double precision,
    out layers double precision,
    out hidden double precision,
    out base bigint
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
    select w.* into weight_bytes, parameters, expert_fraction, experts, experts_used, dtype, kv_elements, attention, assumed,
                    class, quantisation, computes, read_bytes, positions, sliding_window, window_elements, window_attention,
                    state_elements, layers, hidden, base
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
    out assumed text[],
    out class text,
    out quantisation text,
    out computes text,
    out read_bytes double precision,
    out positions double precision,
    out sliding_window double precision,
    out window_elements double precision,
    out window_attention double precision,
    out state_elements double precision,
    out layers double precision,
    out hidden double precision,
    out base bigint
)
language c
stable strict
parallel safe
set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', 'call_as_reader';
comment on function sparse_weights(bigint) is
'What a version is and weighs: kind, bytes, parameters, share and use of experts, dtype, what it keeps of each token, what it reads for one, the base that an adapter runs on, and what had to be assumed.';
