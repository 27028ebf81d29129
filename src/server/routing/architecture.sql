/*
 * architecture.sql: what a config.json says of a model: what kind it is, how many layers keep how much of
 * each token, which of its experts a token uses, how its weights are packed.
 *
 * Names of keys differ from family to family; which key says what stands in sparse.config_key, and what kinds
 * there are in sparse.model_type. What is needed and not said comes back as unknown, never as 0.
 */

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

create function sparse_config_of_text(config jsonb)
returns jsonb
language sql
immutable strict
parallel safe
set search_path = pg_catalog, pg_temp
as $function$
    select case when jsonb_typeof(nested) = 'object' then config || nested else config end
    from (select coalesce(config -> 'text_config', config -> 'llm_config', config -> 'language_config', config #> '{thinker_config,text_config}')) x (nested)
$function$;
comment on function sparse_config_of_text(jsonb) is
'A config.json with what it says of its language model, where it nests that, on top.';

-- How many layers keep every token, how many a window of them, how many a state of one size.
create function sparse_layer_kinds(
    config jsonb,
    layers double precision,
    attention text,
    out whole double precision,
    out windowed double precision,
    out constant double precision
)
language plpgsql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $function$
declare
    kinds jsonb := coalesce(config -> 'layer_types', config -> 'layers_block_type');
    every double precision;
begin
    if jsonb_typeof(kinds) = 'array' then
        select count(*) filter (where k in ('full_attention', 'attention')),
               count(*) filter (where k in ('sliding_attention', 'chunked_attention')),
               count(*) filter (where k not in ('full_attention', 'attention', 'sliding_attention', 'chunked_attention'))
        into whole, windowed, constant
        from jsonb_array_elements_text(kinds) k;
        return;
    end if;
    whole := layers;
    windowed := 0;
    constant := 0;
    every := coalesce(@extschema@.sparse_config_number(config, 'full_attention_interval'),
                      @extschema@.sparse_config_number(config, 'attn_layer_period'));
    if attention = 'state' then
        whole := 0;
        constant := layers;
    elsif every > 0 then
        whole := floor((layers - coalesce(@extschema@.sparse_config_number(config, 'attn_layer_offset'), every - 1) - 1) / every) + 1;
        constant := layers - whole;
    elsif greatest(@extschema@.sparse_config_number(config, 'sliding_window'), @extschema@.sparse_config_number(config, 'attention_chunk_size')) > 0
          and (case when attention = 'after window layers' then config -> 'use_sliding_window' = 'true'
                    else config -> 'use_sliding_window' is distinct from 'false' and attention <> 'whole' end) then
        every := coalesce(@extschema@.sparse_config_number(config, 'sliding_window_pattern'),
                          case attention when 'all but every second' then 2 when 'all but every fourth' then 4 when 'all but every sixth' then 6 end);
        whole := case when every > 0 then floor(layers / every)
                      when attention = 'after window layers'
                      then least(layers, coalesce(@extschema@.sparse_config_number(config, 'max_window_layers'), layers))
                      else 0 end;
        windowed := layers - whole;
    end if;
end
$function$;
comment on function sparse_layer_kinds(jsonb, double precision, text) is
'How many layers of a model keep every token, how many a window of them, and how many a state of constant size.';

create function sparse_architecture(
    config jsonb,
    out class text,
    out layers double precision,
    out hidden double precision,
    out positions double precision,
    out kv_elements double precision,
    out window_elements double precision,
    out sliding_window double precision,
    out state_elements double precision,
    out attention double precision,
    out window_attention double precision,
    out experts double precision,
    out experts_used double precision,
    out expert_parameters double precision,
    out quantisation text,
    out bits double precision,
    out dtype text,
    out unknown text[]
)
language plpgsql
stable strict
parallel safe
set search_path = pg_catalog, pg_temp
as $function$
declare
    text_config constant jsonb := @extschema@.sparse_config_of_text(config);
    packed constant jsonb := coalesce(config -> 'quantization_config', text_config -> 'quantization_config', config -> 'quantization');
    packing constant jsonb := coalesce(packed -> 'quantization', packed);     -- ModelOpt's file nests it
    known record;
    n jsonb;
    q record;
    per_layer double precision;
    state_inner double precision;
begin
    select t.class, t.attention into known from sparse.model_type t where t.model_type = text_config ->> 'model_type';
    select coalesce(jsonb_object_agg(quantity, value), '{}') into n
    from (select distinct on (k.quantity) k.quantity, v.value
          from sparse.config_key k
          -- sparse_config_number(), without a call for each of them
          cross join lateral (select case when jsonb_typeof(text_config -> k.key) = 'number' and (text_config ->> k.key)::numeric between 0 and 1e12
                                          then (text_config ->> k.key)::double precision end) v (value)
          where v.value is not null
          order by k.quantity, k.rank) f;
    select x.* into q
    from jsonb_to_record(n) x (layers double precision, hidden double precision, heads double precision, kv_heads double precision,
                               head_dim double precision, inner_size double precision, experts double precision, used double precision,
                               expert_inner double precision, dense_layers double precision, expert_every double precision, positions double precision,
                               latent double precision, rope_dim double precision, nope_dim double precision, value_dim double precision,
                               sliding_window double precision, state_size double precision);

    class := case when config ? 'vision_config' and text_config ->> 'model_type' is distinct from 'clip' then 'vision-language'
                  when known.class is not null then known.class
                  when config -> 'is_encoder_decoder' = 'true' then 'encoder-decoder'
                  when config #>> '{architectures,0}' ~ '(CausalLM|LMHeadModel)$' then 'decoder'
                  when config #>> '{architectures,0}' ~ '(MaskedLM|Classification|QuestionAnswering|FeatureExtraction)$' then 'encoder' end;
    layers := q.layers;
    hidden := q.hidden;
    positions := q.positions;
    sliding_window := q.sliding_window;
    q.head_dim := coalesce(q.head_dim, (q.nope_dim + q.rope_dim + q.value_dim) / 2, q.hidden / nullif(q.heads, 0));
    q.kv_heads := case when text_config -> 'multi_query' = 'true' and text_config -> 'new_decoder_architecture' is distinct from 'true' then 1
                       else coalesce(q.kv_heads, q.heads) end;

    if class is distinct from 'encoder' then
        state_inner := coalesce(q.hidden * coalesce(@extschema@.sparse_config_number(text_config, 'mamba_expand'), @extschema@.sparse_config_number(text_config, 'expand')),
                                @extschema@.sparse_config_number(text_config, 'linear_num_value_heads') * @extschema@.sparse_config_number(text_config, 'linear_value_head_dim'),
                                case when known.attention = 'state' then q.inner_size end);
        per_layer := coalesce(q.latent + q.rope_dim, 2 * q.kv_heads * q.head_dim);
        select l.whole * per_layer, l.windowed * per_layer,
               case when l.constant > 0 then l.constant * state_inner * q.state_size else 0 end,
               l.whole * q.heads * q.head_dim, l.windowed * q.heads * q.head_dim
        into kv_elements, window_elements, state_elements, attention, window_attention
        from @extschema@.sparse_layer_kinds(text_config, q.layers, coalesce(known.attention, '')) l;
        if known.attention = 'state' then
            kv_elements := 0;
            window_elements := 0;
            attention := 0;
            window_attention := 0;
        end if;
    else
        -- nothing is kept, and every token sees all others: twice what a causal layer computes
        kv_elements := 0;
        window_elements := 0;
        state_elements := 0;
        attention := 2 * q.layers * q.heads * q.head_dim;
        window_attention := 0;
    end if;

    experts := case when q.experts > 1 and q.used >= 1 and q.used <= q.experts then q.experts else 1 end;
    experts_used := case when experts > 1 then q.used else 1 end;
    expert_parameters := case when experts > 1
                              then 3 * (q.layers - coalesce(q.dense_layers, 0)) / coalesce(nullif(q.expert_every, 0), 1) * q.hidden * coalesce(q.expert_inner, q.inner_size) * q.experts end;

    quantisation := case when jsonb_typeof(packing) = 'object'
                         then coalesce(packing ->> 'quant_method', packing ->> 'quant_algo', case when config ? 'quantization' then 'mlx' else 'unknown' end) end;
    bits := case when quantisation is not null
                 then coalesce(@extschema@.sparse_config_number(packing, 'bits'), @extschema@.sparse_config_number(packing, 'w_bit'),
                               @extschema@.sparse_config_number(packing #> '{config_groups,group_0,weights}', 'num_bits'),
                               case when packing -> 'load_in_4bit' = 'true' or packing -> '_load_in_4bit' = 'true' or quantisation in ('mxfp4', 'NVFP4') then 4
                                    when packing -> 'load_in_8bit' = 'true' or quantisation in ('fp8', 'FP8') then 8 end) end;
    dtype := case coalesce(text_config ->> 'torch_dtype', text_config ->> 'dtype', config ->> 'torch_dtype')
                  when 'float32' then 'F32' when 'float16' then 'F16' when 'bfloat16' then 'BF16'
                  when 'float8_e4m3fn' then 'F8_E4M3' when 'int8' then 'I8' end;

    unknown := array_remove(array[
        case when class is null then 'what kind of model it is' end,
        case when kv_elements is null then 'what its layers keep of a token' end,
        case when state_elements is null and class is distinct from 'encoder' then 'the state of its layers without attention' end,
        case when experts > 1 and expert_parameters is null then 'the share of its experts' end,
        case when quantisation is not null and bits is null then 'the bits of its quantisation' end], null);
end
$function$;
comment on function sparse_architecture(jsonb) is
'What a config.json says: kind, layers, elements kept of a token in whole and in windowed layers, state, attention, experts and their parameters, quantisation, and what it leaves unknown.';
