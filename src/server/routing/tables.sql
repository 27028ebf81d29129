/*
 * tables.sql: what routing knows. Every figure that a decision rests on is a row
 * that the store's owner can change, and says where it comes from.
 *
 * Rates are dense: datasheets print twice as much, "with sparsity". 1 GB = 10^9 bytes; what a datasheet
 * calls 80 GB of memory are up to 80 x 2^30 bytes, and what its driver leaves of them stands here.
 */

create function sparse_create_configs()
returns void
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
begin
    if to_regclass('sparse.config_key') is not null then
        return;
    end if;
    create table sparse.config_key (
        quantity text not null,
        rank integer not null,
        key text not null,
        source text not null,
        primary key (quantity, rank)
    );
    comment on table sparse.config_key is 'which key of a config.json says what of a model: of those that it has, the first; edit it';
    insert into sparse.config_key (quantity, rank, key, source) values
        ('layers', 1, 'decoder_layers', 'BART, Whisper'), ('layers', 2, 'num_decoder_layers', 'T5'), ('layers', 3, 'num_hidden_layers', 'most families'),
        ('layers', 4, 'n_layer', 'GPT-2, Falcon, BLOOM'), ('layers', 5, 'n_layers', 'MPT, DistilBERT'), ('layers', 6, 'num_layers', 'GPT-Neo, ChatGLM'),
        ('hidden', 1, 'hidden_size', 'most families'), ('hidden', 2, 'n_embd', 'GPT-2'), ('hidden', 3, 'd_model', 'T5, BART, MPT, Mamba'), ('hidden', 4, 'dim', 'DistilBERT'),
        ('heads', 1, 'decoder_attention_heads', 'BART, Whisper'), ('heads', 2, 'num_attention_heads', 'most families'), ('heads', 3, 'n_head', 'GPT-2, BLOOM'),
        ('heads', 4, 'n_heads', 'MPT, DistilBERT'), ('heads', 5, 'num_heads', 'T5, GPT-Neo'),
        ('kv_heads', 1, 'num_key_value_heads', 'most families'), ('kv_heads', 2, 'num_kv_heads', 'Falcon 40B and later'), ('kv_heads', 3, 'n_head_kv', 'Falcon'),
        ('kv_heads', 4, 'multi_query_group_num', 'ChatGLM'),
        ('head_dim', 1, 'head_dim', 'Gemma, Qwen3, Mistral Nemo'), ('head_dim', 2, 'd_kv', 'T5'), ('head_dim', 3, 'kv_channels', 'ChatGLM'),
        ('inner_size', 1, 'intermediate_size', 'most families'), ('inner_size', 2, 'n_inner', 'GPT-2'), ('inner_size', 3, 'ffn_dim', 'OPT'),
        ('inner_size', 4, 'd_ff', 'T5'), ('inner_size', 5, 'ffn_hidden_size', 'ChatGLM'),
        ('experts', 1, 'num_local_experts', 'Mixtral, gpt-oss'), ('experts', 2, 'num_experts', 'Qwen MoE, OLMoE'), ('experts', 3, 'n_routed_experts', 'DeepSeek'),
        ('experts', 4, 'moe_num_experts', 'ERNIE'),
        ('used', 1, 'num_experts_per_tok', 'most families'), ('used', 2, 'experts_per_token', 'gpt-oss'), ('used', 3, 'num_experts_per_token', 'Jamba'),
        ('used', 4, 'moe_k', 'ERNIE'), ('used', 5, 'moe_topk', 'Hunyuan'),
        ('expert_inner', 1, 'moe_intermediate_size', 'Qwen MoE, DeepSeek'), ('dense_layers', 1, 'first_k_dense_replace', 'DeepSeek'),
        ('expert_every', 1, 'expert_layer_period', 'Jamba: every so many layers have experts'), ('expert_every', 2, 'decoder_sparse_step', 'Qwen MoE'), ('expert_every', 3, 'interleave_moe_layer_step', 'Llama 4'),
        ('positions', 1, 'max_position_embeddings', 'most families'), ('positions', 2, 'n_positions', 'GPT-2'), ('positions', 3, 'max_seq_len', 'MPT'),
        ('positions', 4, 'seq_length', 'ChatGLM'), ('positions', 5, 'n_ctx', 'GPT-J'),
        ('latent', 1, 'kv_lora_rank', 'DeepSeek: multi-head latent attention'), ('rope_dim', 1, 'qk_rope_head_dim', 'DeepSeek'),
        ('nope_dim', 1, 'qk_nope_head_dim', 'DeepSeek'), ('value_dim', 1, 'v_head_dim', 'DeepSeek'),
        ('sliding_window', 1, 'sliding_window', 'Mistral, Gemma, gpt-oss'), ('sliding_window', 2, 'attention_chunk_size', 'Llama 4'),
        ('state_size', 1, 'state_size', 'Mamba'), ('state_size', 2, 'mamba_d_state', 'Jamba, Bamba'), ('state_size', 3, 'linear_key_head_dim', 'Qwen3-Next');

    create table sparse.model_type (
        model_type text primary key,
        class text not null check (class in ('decoder', 'encoder', 'encoder-decoder', 'vision-language', 'embedding')),
        attention text not null default '' check (attention in ('', 'whole', 'all but every second', 'all but every fourth', 'all but every sixth', 'after window layers', 'state')),
        source text not null default 'its config in transformers'
    );
    comment on table sparse.model_type is 'what kind of model the model_type of a config.json is, and which of its layers keep a window, where the config gives one and does not list them; edit it';
    comment on column sparse.model_type.attention is 'layers with a window: none (whole), all (empty), or as it says; state: no attention at all';
    insert into sparse.model_type (model_type, class, attention) values
        ('llama', 'decoder', 'whole'), ('mistral', 'decoder', ''), ('mixtral', 'decoder', ''), ('gpt2', 'decoder', 'whole'), ('gpt_neox', 'decoder', 'whole'),
        ('gptj', 'decoder', 'whole'), ('bloom', 'decoder', 'whole'), ('opt', 'decoder', 'whole'), ('mpt', 'decoder', 'whole'), ('falcon', 'decoder', 'whole'),
        ('phi', 'decoder', 'whole'), ('phi3', 'decoder', ''), ('qwen2', 'decoder', 'after window layers'), ('qwen2_moe', 'decoder', 'after window layers'),
        ('qwen3', 'decoder', 'after window layers'), ('qwen3_moe', 'decoder', 'after window layers'), ('qwen3_next', 'decoder', ''),
        ('gemma', 'decoder', 'whole'), ('gemma2', 'decoder', 'all but every second'), ('gemma3_text', 'decoder', 'all but every sixth'), ('gpt_oss', 'decoder', 'all but every second'),
        ('deepseek_v2', 'decoder', 'whole'), ('deepseek_v3', 'decoder', 'whole'), ('cohere', 'decoder', 'whole'), ('starcoder2', 'decoder', ''),
        ('gpt_bigcode', 'decoder', 'whole'), ('stablelm', 'decoder', 'whole'), ('olmo', 'decoder', 'whole'), ('olmo2', 'decoder', 'whole'), ('olmoe', 'decoder', 'whole'),
        ('granite', 'decoder', 'whole'), ('chatglm', 'decoder', 'whole'), ('glm4', 'decoder', 'whole'), ('internlm2', 'decoder', 'whole'), ('smollm3', 'decoder', 'whole'),
        ('jamba', 'decoder', ''), ('mamba', 'decoder', 'state'), ('mamba2', 'decoder', 'state'), ('falcon_mamba', 'decoder', 'state'), ('rwkv', 'decoder', 'state'),
        ('llama4_text', 'decoder', 'all but every fourth'),
        ('bert', 'encoder', ''), ('roberta', 'encoder', ''), ('xlm-roberta', 'encoder', ''), ('distilbert', 'encoder', ''), ('albert', 'encoder', ''),
        ('electra', 'encoder', ''), ('deberta', 'encoder', ''), ('deberta-v2', 'encoder', ''), ('mpnet', 'encoder', ''), ('camembert', 'encoder', ''),
        ('modernbert', 'encoder', ''), ('nomic_bert', 'encoder', ''), ('vit', 'encoder', ''), ('clip', 'encoder', ''), ('wav2vec2', 'encoder', ''),
        ('t5', 'encoder-decoder', ''), ('mt5', 'encoder-decoder', ''), ('bart', 'encoder-decoder', ''), ('mbart', 'encoder-decoder', ''),
        ('pegasus', 'encoder-decoder', ''), ('marian', 'encoder-decoder', ''), ('m2m_100', 'encoder-decoder', ''), ('whisper', 'encoder-decoder', ''),
        ('llava', 'vision-language', ''), ('llava_next', 'vision-language', ''), ('qwen2_vl', 'vision-language', 'after window layers'),
        ('qwen2_5_vl', 'vision-language', 'after window layers'), ('idefics3', 'vision-language', ''), ('paligemma', 'vision-language', '');

    create table sparse.quantisation (
        name text primary key,
        bits_per_weight double precision not null check (bits_per_weight > 0 and bits_per_weight <= 64),
        source text not null default 'README of llama.cpp''s quantize, Llama 3.1 8B'
    );
    comment on table sparse.quantisation is 'bits a weight of the quantisations that names of GGUF files end in; edit it';
    insert into sparse.quantisation (name, bits_per_weight) values
        ('IQ1_S', 2.0042), ('IQ1_M', 2.1460), ('IQ2_XXS', 2.3824), ('IQ2_XS', 2.5882), ('IQ2_S', 2.7403), ('IQ2_M', 2.9294), ('IQ3_XXS', 3.2548),
        ('IQ3_XS', 3.4977), ('IQ3_S', 3.6606), ('IQ3_M', 3.7628), ('IQ4_XS', 4.4597), ('IQ4_NL', 4.6818), ('Q2_K_S', 2.9697), ('Q2_K', 3.1593),
        ('Q3_K_S', 3.6429), ('Q3_K_M', 3.9960), ('Q3_K_L', 4.2979), ('Q4_K_S', 4.6672), ('Q4_K_M', 4.8944), ('Q5_K_S', 5.5704), ('Q5_K_M', 5.7036),
        ('Q6_K', 6.5633), ('Q8_0', 8.5008), ('F16', 16.0005);
    insert into sparse.quantisation (name, bits_per_weight, source) values
        ('Q4_0', 4.5, 'a block of 32: 128 bits and a scale of 16'), ('Q4_1', 5, 'a block of 32: 128 bits, a scale and a minimum of 16'),
        ('Q5_0', 5.5, 'a block of 32: 160 bits and a scale of 16'), ('Q5_1', 6, 'a block of 32: 160 bits, a scale and a minimum of 16'),
        ('BF16', 16, 'bfloat16'), ('F32', 32, 'float32'), ('MXFP4', 4.25, 'a block of 32: 128 bits and an exponent of 8');

    -- what holds for everybody
    grant select on sparse.config_key, sparse.model_type, sparse.quantisation to public;
end
$function$;
comment on function sparse_create_configs() is
'The part of sparse_create_store() and sparse_update_store() that makes the tables by which configs are read, where they are missing.';

create function sparse_complete_routing()
returns void
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
begin
    if exists (select from pg_attribute where attrelid = 'sparse.hardware'::regclass and attname = 'memory_gb' and not attisdropped) then
        alter table sparse.hardware
            add column memory_bytes double precision check (memory_bytes > 0 and memory_bytes < 'infinity'),
            add column fp4_tflops double precision check (fp4_tflops > 0 and fp4_tflops < 'infinity'),
            add column bf16 boolean not null default true,
            add column devices integer not null default 1 check (devices between 1 and 1024),
            add column link_gb_s double precision check (link_gb_s > 0 and link_gb_s < 'infinity'),
            add check (devices = 1 or link_gb_s is not null);
        update sparse.hardware set memory_bytes = memory_gb * 1e9, bf16 = source not like '%has no bf16%';
        alter table sparse.hardware
            alter column memory_bytes set not null,
            drop column memory_gb;
    end if;
    insert into sparse.routing_constant values
        ('compute_efficiency', 0.5, 'fraction', 'share of the dense rate that prefill reaches; PaLM (Chowdhery et al. 2022) reports 0.46 in training. Assumed: measure yours'),
        ('bandwidth_efficiency', 0.7, 'fraction', 'share of the bandwidth that decode reaches. Assumed: measure yours'),
        ('fp32_fraction', 0.5, 'fraction', 'rate of fp32 weights against bf16; NVIDIA A100 datasheet, TF32 156 against 312'),
        ('memory_fraction', 0.9, 'fraction', 'share of the memory that weights and cache may fill; the default of vLLM''s gpu_memory_utilization'),
        ('kv_bytes', 2, 'bytes', 'one element of the KV cache: bf16'),
        ('request_overhead_ms', 20, 'ms', 'network, queue and tokenizer. Assumed: measure yours'),
        ('step_overhead_ms', 1, 'ms', 'launch and sampling, each decode step. Assumed: measure yours'),
        ('p99_factor', 2, 'ratio', 'p99 against p50. Assumed: measure yours'),
        ('load_gb_s', 2, 'GB/s', 'stored bytes to the host. Assumed: an NVMe drive; measure yours'),
        ('decode_gb_s', 0.85, 'GB/s', 'files given back by the store, a core: docs/benchmarks.md'),
        ('decode_cores', 8, 'cores', 'that give back files at once. Assumed: your host'),
        ('link_us', 10, 'us', 'that devices take to begin an exchange. Assumed: measure yours'),
        ('requests_per_load', 1000, 'requests', 'how many requests share the cost of a load. Assumed: your traffic'),
        ('utilisation', 0.5, 'fraction', 'share of the paid time that serves. Assumed: your traffic'),
        ('batch', 8, 'requests', 'that sparse_batch() puts together at most, unless it is told. Assumed: your traffic'),
        ('largest_batch', 256, 'requests', 'served together at most, where a request does not say how many; the default of vLLM''s max_num_seqs'),
        ('quality_z', 1.645, 'standard errors', 'that a score must lie above a floor: one-sided confidence of 95%'),
        ('wait_ms', 50, 'ms', 'how long sparse_batch() lets a request wait. Assumed: your users'' patience'),
        ('chars_per_token', 4, 'characters', 'OpenAI''s rule of thumb for English text'),
        ('prompt_tokens', 500, 'tokens', 'of a prompt that nothing is known of. Assumed'),
        ('output_tokens', 256, 'tokens', 'of an answer that nothing is known of. Assumed'),
        ('difficult_tokens', 4000, 'tokens', 'a prompt of so many adds 0.5 to the difficulty, a shorter one its part of it. Assumed')
    on conflict (name) do nothing;
end
$function$;
comment on function sparse_complete_routing() is
'The part of sparse_create_store() and sparse_update_store() that adds the constants of routing, and columns of its hardware, which are missing.';

create function sparse_create_routing()
returns void
language plpgsql
volatile
parallel unsafe
set search_path = pg_catalog, pg_temp
as $function$
begin
    create table sparse.hardware (
        name text primary key,
        kind text not null check (kind in ('gpu', 'tpu', 'accelerator', 'cpu')),
        memory_bytes double precision not null check (memory_bytes > 0 and memory_bytes < 'infinity'),
        bandwidth_gb_s double precision not null check (bandwidth_gb_s > 0 and bandwidth_gb_s < 'infinity'),
        bf16_tflops double precision not null check (bf16_tflops > 0 and bf16_tflops < 'infinity'),
        fp8_tflops double precision check (fp8_tflops > 0 and fp8_tflops < 'infinity'),
        int8_tops double precision check (int8_tops > 0 and int8_tops < 'infinity'),
        fp4_tflops double precision check (fp4_tflops > 0 and fp4_tflops < 'infinity'),
        bf16 boolean not null default true,
        devices integer not null default 1 check (devices between 1 and 1024),
        link_gb_s double precision check (link_gb_s > 0 and link_gb_s < 'infinity'),
        price_per_hour double precision not null check (price_per_hour >= 0 and price_per_hour < 'infinity'),
        source text not null,
        price_source text not null default 'example list price, set yours',
        check (devices = 1 or link_gb_s is not null)
    );
    comment on table sparse.hardware is 'what a version may be run on: one accelerator or host a row, of one or more equal devices; edit it';
    comment on column sparse.hardware.memory_bytes is 'of one device, as its driver counts it';
    comment on column sparse.hardware.bf16_tflops is 'dense rate of one device in bf16, or in fp16 where there is no bf16';
    comment on column sparse.hardware.fp8_tflops is 'dense rate in fp8; null: none, computed at the rate of bf16';
    comment on column sparse.hardware.int8_tops is 'dense rate in int8; null: none, computed at the rate of bf16';
    comment on column sparse.hardware.fp4_tflops is 'dense rate in fp4; null: none, computed at the rate of bf16';
    comment on column sparse.hardware.bf16 is 'whether it computes bf16 at all';
    comment on column sparse.hardware.devices is 'over which a model is split, each layer over all of them';
    comment on column sparse.hardware.link_gb_s is 'between devices, of each, one way';
    comment on column sparse.hardware.price_per_hour is 'of all devices';
    insert into sparse.hardware
        (name, kind, memory_bytes, bandwidth_gb_s, bf16_tflops, fp8_tflops, int8_tops, fp4_tflops, bf16, price_per_hour, source)
    values
        ('T4', 'gpu', 16.106e9, 320, 65, null, 130, null, false, 0.35, 'NVIDIA T4 datasheet; fp16, it has no bf16'),
        ('V100 32GB', 'gpu', 34.36e9, 900, 125, null, null, null, false, 2.00, 'NVIDIA V100 datasheet (SXM2); fp16, it has no bf16'),
        ('L4', 'gpu', 24.153e9, 300, 121, 242.5, 242.5, null, true, 0.70, 'NVIDIA L4 datasheet; half of the rates with sparsity'),
        ('A10G', 'gpu', 24.147e9, 600, 70, null, 140, null, true, 1.00, 'NVIDIA A10G datasheet'),
        ('L40S', 'gpu', 48.306e9, 864, 362, 733, 733, null, true, 1.80, 'NVIDIA L40S datasheet'),
        ('RTX 3090', 'gpu', 25.770e9, 936, 71, null, 284, null, true, 0.30, 'NVIDIA Ampere GA102 GPU architecture whitepaper; fp32 accumulation'),
        ('RTX 4090', 'gpu', 25.757e9, 1008, 165.2, 330.3, 660.6, null, true, 0.60, 'NVIDIA Ada GPU architecture whitepaper; fp32 accumulation'),
        ('RTX 6000 Ada', 'gpu', 51.527e9, 960, 364.2, 728.5, 728.5, null, true, 1.00, 'NVIDIA RTX 6000 Ada datasheet; half of the rates with sparsity'),
        ('A40', 'gpu', 48.306e9, 696, 149.7, null, 299.3, null, true, 0.80, 'NVIDIA A40 datasheet'),
        ('A100 40GB', 'gpu', 42.949e9, 1555, 312, null, 624, null, true, 1.80, 'NVIDIA A100 datasheet (SXM)'),
        ('A100 80GB', 'gpu', 85.899e9, 2039, 312, null, 624, null, true, 2.50, 'NVIDIA A100 datasheet (SXM)'),
        ('H100 PCIe', 'gpu', 85.521e9, 2000, 756, 1513, 1513, null, true, 3.00, 'NVIDIA H100 datasheet (PCIe); half of the rates with sparsity'),
        ('H100 SXM', 'gpu', 85.521e9, 3350, 989, 1979, 1979, null, true, 4.00, 'NVIDIA H100 datasheet (SXM); half of the rates with sparsity'),
        ('H100 NVL', 'gpu', 100.485e9, 3900, 835, 1671, 1671, null, true, 3.80, 'NVIDIA H100 datasheet (NVL); half of the rates with sparsity'),
        ('H200', 'gpu', 150.755e9, 4800, 989, 1979, 1979, null, true, 5.00, 'NVIDIA H200 datasheet (SXM); half of the rates with sparsity'),
        ('B200', 'gpu', 192.265e9, 8000, 2250, 4500, 4500, 9000, true, 8.00, 'NVIDIA DGX B200 datasheet, an eighth; half of the rates with sparsity'),
        ('MI250X', 'gpu', 137.439e9, 3276.8, 383, null, 383, null, true, 2.50, 'AMD Instinct MI250X data sheet; both of its dies'),
        ('MI300X', 'gpu', 206.158e9, 5300, 1307.4, 2614.9, 2614.9, null, true, 4.50, 'AMD Instinct MI300X data sheet'),
        ('MI325X', 'gpu', 274.878e9, 6000, 1307.4, 2614.9, 2614.9, null, true, 5.50, 'AMD Instinct MI325X data sheet'),
        ('Gaudi 3', 'accelerator', 137.439e9, 3700, 1835, 1835, null, null, true, 3.50, 'Intel Gaudi 3 white paper'),
        ('TPU v5e', 'tpu', 17.180e9, 819, 197, null, 393, null, true, 1.20, 'Google Cloud TPU v5e documentation, one chip'),
        ('TPU v5p', 'tpu', 102.005e9, 2765, 459, null, 918, null, true, 4.20, 'Google Cloud TPU v5p documentation, one chip'),
        ('TPU v6e', 'tpu', 34.360e9, 1640, 918, null, 1836, null, true, 2.70, 'Google Cloud TPU v6e documentation, one chip'),
        ('Inferentia2', 'accelerator', 34.360e9, 820, 190, 190, 380, null, true, 0.76, 'AWS Neuron documentation, Inferentia2, one chip'),
        ('Xeon 8480+', 'cpu', 256e9, 307.2, 229, null, 459, null, true, 2.50,
         'Intel Xeon Platinum 8480+ specification: 56 cores x 2.0 GHz x 2048 (AMX bf16), 8 x DDR5-4800; memory as equipped'),
        ('EPYC 9654', 'cpu', 384e9, 460.8, 14.7, null, 29.5, null, true, 3.00,
         'AMD EPYC 9654 specification: 96 cores x 2.4 GHz x 64 (AVX-512 bf16), 12 x DDR5-4800; memory as equipped');
    -- hosts of several: at the price of so many, over the links that their datasheets name, one way
    insert into sparse.hardware
        (name, kind, memory_bytes, bandwidth_gb_s, bf16_tflops, fp8_tflops, int8_tops, fp4_tflops, bf16, devices, link_gb_s, price_per_hour, source)
    select n.devices || 'x ' || h.name, h.kind, h.memory_bytes, h.bandwidth_gb_s, h.bf16_tflops, h.fp8_tflops, h.int8_tops, h.fp4_tflops, h.bf16,
           n.devices, l.link_gb_s, h.price_per_hour * n.devices, h.source || '; ' || l.source
    from (values ('L4', 32, 'PCIe 4.0, 16 lanes'), ('L40S', 32, 'PCIe 4.0, 16 lanes'), ('A100 80GB', 300, 'NVLink 3, half of 600 GB/s'),
                 ('H100 SXM', 450, 'NVLink 4, half of 900 GB/s'), ('H200', 450, 'NVLink 4, half of 900 GB/s'),
                 ('B200', 900, 'NVLink 5, half of 1800 GB/s'), ('MI300X', 448, 'Infinity Fabric, half of 896 GB/s')) l (name, link_gb_s, source)
    join sparse.hardware h using (name)
    cross join (values (2), (4), (8)) n (devices);

    create table sparse.routing_constant (
        name text primary key,
        value double precision not null check (value > 0 and value < 'infinity'),
        unit text not null,
        source text not null
    );
    comment on table sparse.routing_constant is 'the constants of routing, with where they come from; edit them';

    create table sparse.routing_rule (
        id integer generated by default as identity primary key,
        task text not null,
        pattern text not null,
        weight double precision not null default 1 check (weight > '-infinity' and weight < 'infinity'),
        difficulty double precision not null default 0 check (difficulty > '-infinity' and difficulty < 'infinity'),
        reason text not null
    );
    comment on table sparse.routing_rule is 'what a prompt must match (a regular expression, whatever the case) to count as a task';
    insert into sparse.routing_rule (task, pattern, weight, difficulty, reason) values
        ('code', '```', 2, 0.1, 'holds a block of code'),
        ('code', '\m(function|python|javascript|sql|rust|compile|refactor|debug|stack trace|unit test)\M', 2, 0.1, 'speaks of programs'),
        ('math', '\m(prove|proof|integral|derivative|theorem|equation|solve for)\M', 3, 0.4, 'speaks of mathematics'),
        ('math', '[0-9] *[-+*/^=] *[0-9]', 1, 0.1, 'holds arithmetic'),
        ('summarise', '\m(summari[sz]e|summary|tl;dr|in brief)\M', 3, 0.1, 'asks for a summary'),
        ('translate', '\m(translate|translation)\M', 3, 0.1, 'asks for a translation'),
        ('extract', '\m(extract|list all|find all|as json|fields)\M', 2, 0.1, 'asks for what stands in a text'),
        ('chat', '', 0.5, 0.1, 'nothing more special');

    create table sparse.routing_task (
        task text primary key,
        output_tokens double precision not null default 0 check (output_tokens >= 0 and output_tokens < 'infinity'),
        output_ratio double precision not null default 0 check (output_ratio >= 0 and output_ratio < 'infinity'),
        source text not null default 'assumed: measure yours'
    );
    comment on table sparse.routing_task is 'how long the answers of a task are: output_tokens + output_ratio x tokens of the prompt';
    insert into sparse.routing_task (task, output_tokens, output_ratio) values
        ('code', 512, 0), ('math', 768, 0), ('chat', 256, 0),
        ('summarise', 32, 0.2), ('translate', 0, 1.1), ('extract', 32, 0.1);

    create table sparse.quality (
        version bigint not null references sparse.version,
        task text not null,
        score double precision not null check (score > '-infinity' and score < 'infinity'),
        source text not null,
        primary key (version, task)
    );
    comment on table sparse.quality is 'how well a version does a task; the scores of one task share a scale';

    create table sparse.deployment (
        host text not null,
        hardware text not null references sparse.hardware on update cascade,
        version bigint not null references sparse.version,
        resident_since timestamptz not null default now(),
        primary key (host, version)
    );
    create index deployment_version on sparse.deployment (version);
    comment on table sparse.deployment is 'which versions lie in the memory of which hosts';

    -- Written by the owner; who may not see a version learns nothing of it here either.
    alter table sparse.quality enable row level security;
    alter table sparse.deployment enable row level security;
    create policy of_version on sparse.quality for select
        using (exists (select from sparse.version v where v.id = version));
    create policy of_version on sparse.deployment for select
        using (exists (select from sparse.version v where v.id = version));
end
$function$;
comment on function sparse_create_routing() is
'Makes the tables of routing; called by sparse_create_store().';
