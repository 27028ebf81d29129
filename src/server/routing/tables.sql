/*
 * tables.sql: what routing knows. Every figure that a decision rests on is a row
 * that the store's owner can change, and says where it comes from.
 *
 * Rates are dense: datasheets print twice as much, "with sparsity". Bytes are
 * counted as datasheets do, 1 GB = 10^9.
 */

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
        memory_gb double precision not null check (memory_gb > 0 and memory_gb < 'infinity'),
        bandwidth_gb_s double precision not null check (bandwidth_gb_s > 0 and bandwidth_gb_s < 'infinity'),
        bf16_tflops double precision not null check (bf16_tflops > 0 and bf16_tflops < 'infinity'),
        fp8_tflops double precision check (fp8_tflops > 0 and fp8_tflops < 'infinity'),
        int8_tops double precision check (int8_tops > 0 and int8_tops < 'infinity'),
        price_per_hour double precision not null check (price_per_hour >= 0 and price_per_hour < 'infinity'),
        source text not null,
        price_source text not null default 'example list price, set yours'
    );
    comment on table sparse.hardware is 'what a version may be run on: one accelerator or host a row; edit it';
    comment on column sparse.hardware.bf16_tflops is 'dense rate in bf16, or in fp16 where there is no bf16';
    comment on column sparse.hardware.fp8_tflops is 'dense rate in fp8; null: none, computed at the rate of bf16';
    comment on column sparse.hardware.int8_tops is 'dense rate in int8; null: none, computed at the rate of bf16';
    insert into sparse.hardware
        (name, kind, memory_gb, bandwidth_gb_s, bf16_tflops, fp8_tflops, int8_tops, price_per_hour, source)
    values
        ('T4', 'gpu', 16, 320, 65, null, 130, 0.35, 'NVIDIA T4 datasheet; fp16, it has no bf16'),
        ('V100 32GB', 'gpu', 32, 900, 125, null, null, 2.00, 'NVIDIA V100 datasheet (SXM2); fp16, it has no bf16'),
        ('L4', 'gpu', 24, 300, 121, 242.5, 242.5, 0.70, 'NVIDIA L4 datasheet; half of the rates with sparsity'),
        ('A10G', 'gpu', 24, 600, 70, null, 140, 1.00, 'NVIDIA A10G datasheet'),
        ('L40S', 'gpu', 48, 864, 362, 733, 733, 1.80, 'NVIDIA L40S datasheet'),
        ('RTX 4090', 'gpu', 24, 1008, 165.2, 330.3, 660.6, 0.60, 'NVIDIA Ada GPU architecture whitepaper; fp32 accumulation'),
        ('A100 40GB', 'gpu', 40, 1555, 312, null, 624, 1.80, 'NVIDIA A100 datasheet (SXM)'),
        ('A100 80GB', 'gpu', 80, 2039, 312, null, 624, 2.50, 'NVIDIA A100 datasheet (SXM)'),
        ('H100 PCIe', 'gpu', 80, 2000, 756, 1513, 1513, 3.00, 'NVIDIA H100 datasheet (PCIe); half of the rates with sparsity'),
        ('H100 SXM', 'gpu', 80, 3350, 989, 1979, 1979, 4.00, 'NVIDIA H100 datasheet (SXM); half of the rates with sparsity'),
        ('H200', 'gpu', 141, 4800, 989, 1979, 1979, 5.00, 'NVIDIA H200 datasheet (SXM); half of the rates with sparsity'),
        ('B200', 'gpu', 180, 8000, 2250, 4500, 4500, 8.00, 'NVIDIA DGX B200 datasheet, an eighth; half of the rates with sparsity'),
        ('MI300X', 'gpu', 192, 5300, 1307.4, 2614.9, 2614.9, 4.50, 'AMD Instinct MI300X data sheet'),
        ('TPU v5e', 'tpu', 16, 819, 197, null, 393, 1.20, 'Google Cloud TPU v5e documentation, one chip'),
        ('Inferentia2', 'accelerator', 32, 820, 190, 190, 380, 0.76, 'AWS Neuron documentation, Inferentia2, one chip'),
        ('Xeon 8480+', 'cpu', 256, 307.2, 229, null, 459, 2.50,
         'Intel Xeon Platinum 8480+ specification: 56 cores x 2.0 GHz x 2048 (AMX bf16), 8 x DDR5-4800; memory as equipped'),
        ('EPYC 9654', 'cpu', 384, 460.8, 14.7, null, 29.5, 3.00,
         'AMD EPYC 9654 specification: 96 cores x 2.4 GHz x 64 (AVX-512 bf16), 12 x DDR5-4800; memory as equipped');

    create table sparse.routing_constant (
        name text primary key,
        value double precision not null check (value > 0 and value < 'infinity'),
        unit text not null,
        source text not null
    );
    comment on table sparse.routing_constant is 'the constants of routing, with where they come from; edit them';
    insert into sparse.routing_constant values
        ('compute_efficiency', 0.5, 'fraction', 'share of the dense rate that prefill reaches; PaLM (Chowdhery et al. 2022) reports 0.46 in training. Assumed: measure yours'),
        ('bandwidth_efficiency', 0.7, 'fraction', 'share of the bandwidth that decode reaches. Assumed: measure yours'),
        ('fp32_fraction', 0.5, 'fraction', 'rate of fp32 weights against bf16; NVIDIA A100 datasheet, TF32 156 against 312'),
        ('memory_fraction', 0.9, 'fraction', 'share of the memory that weights and cache may fill; the default of vLLM''s gpu_memory_utilization'),
        ('kv_bytes', 2, 'bytes', 'one element of the KV cache: bf16'),
        ('request_overhead_ms', 20, 'ms', 'network, queue and tokenizer. Assumed: measure yours'),
        ('step_overhead_ms', 1, 'ms', 'launch and sampling, each decode step. Assumed: measure yours'),
        ('p99_factor', 2, 'ratio', 'p99 against p50. Assumed: measure yours'),
        ('load_gb_s', 2, 'GB/s', 'weights from disk to the device. Assumed: an NVMe drive; measure yours'),
        ('requests_per_load', 1000, 'requests', 'how many requests share the cost of a load. Assumed: your traffic'),
        ('utilisation', 0.5, 'fraction', 'share of the paid time that serves. Assumed: your traffic'),
        ('batch', 8, 'requests', 'served together, unless the request says. Assumed: your traffic'),
        ('wait_ms', 50, 'ms', 'how long sparse_batch() lets a request wait. Assumed: your users'' patience'),
        ('chars_per_token', 4, 'characters', 'OpenAI''s rule of thumb for English text'),
        ('prompt_tokens', 500, 'tokens', 'of a prompt that nothing is known of. Assumed'),
        ('output_tokens', 256, 'tokens', 'of an answer that nothing is known of. Assumed'),
        ('difficult_tokens', 4000, 'tokens', 'a prompt of so many adds 0.5 to the difficulty, a shorter one its part of it. Assumed');

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
