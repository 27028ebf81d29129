-- What config.json says of a model: shapes of real ones, as their makers publish them, and what their layers keep of a token;
-- and what a version is by its files and tensors.
\set VERBOSITY terse
\set SHOW_CONTEXT never
set client_min_messages = warning;
create extension sparse;
set client_min_messages = error;
select sparse_create_store();
set client_min_messages = notice;
create table model (name text, config jsonb, kept double precision);
insert into model values
('llama3-8b','{"architectures":["LlamaForCausalLM"],"model_type":"llama","num_hidden_layers":32,"hidden_size":4096,"num_attention_heads":32,"num_key_value_heads":8,"max_position_embeddings":8192,"torch_dtype":"bfloat16"}',65536),
('llama2-70b','{"model_type":"llama","num_hidden_layers":80,"hidden_size":8192,"num_attention_heads":64,"num_key_value_heads":8,"max_position_embeddings":4096}',163840),
('mistral-7b-v0.1','{"model_type":"mistral","num_hidden_layers":32,"hidden_size":4096,"num_attention_heads":32,"num_key_value_heads":8,"sliding_window":4096,"max_position_embeddings":32768}',0),
('gemma2-9b','{"model_type":"gemma2","num_hidden_layers":42,"hidden_size":3584,"num_attention_heads":16,"num_key_value_heads":8,"head_dim":256,"sliding_window":4096}',86016),
('gemma3-27b','{"architectures":["Gemma3ForConditionalGeneration"],"model_type":"gemma3","text_config":{"model_type":"gemma3_text","num_hidden_layers":62,"hidden_size":5376,"num_attention_heads":32,"num_key_value_heads":16,"head_dim":128,"sliding_window":1024},"vision_config":{}}',40960),
('qwen2.5-7b','{"model_type":"qwen2","num_hidden_layers":28,"hidden_size":3584,"num_attention_heads":28,"num_key_value_heads":4,"sliding_window":131072,"use_sliding_window":false,"max_window_layers":28}',28672),
('deepseek-v3','{"model_type":"deepseek_v3","num_hidden_layers":61,"hidden_size":7168,"num_attention_heads":128,"num_key_value_heads":128,"kv_lora_rank":512,"qk_rope_head_dim":64,"qk_nope_head_dim":128,"v_head_dim":128,"n_routed_experts":256,"n_shared_experts":1,"num_experts_per_tok":8,"moe_intermediate_size":2048,"intermediate_size":18432,"first_k_dense_replace":3,"quantization_config":{"quant_method":"fp8"}}',35136),
('mixtral','{"model_type":"mixtral","num_hidden_layers":32,"hidden_size":4096,"intermediate_size":14336,"num_attention_heads":32,"num_key_value_heads":8,"num_local_experts":8,"num_experts_per_tok":2,"sliding_window":null}',65536),
('gpt-oss-20b','{"model_type":"gpt_oss","num_hidden_layers":24,"hidden_size":2880,"intermediate_size":2880,"head_dim":64,"num_attention_heads":64,"num_key_value_heads":8,"num_local_experts":32,"num_experts_per_tok":4,"sliding_window":128,"layer_types":["sliding_attention","full_attention","sliding_attention","full_attention","sliding_attention","full_attention","sliding_attention","full_attention","sliding_attention","full_attention","sliding_attention","full_attention","sliding_attention","full_attention","sliding_attention","full_attention","sliding_attention","full_attention","sliding_attention","full_attention","sliding_attention","full_attention","sliding_attention","full_attention"],"quantization_config":{"quant_method":"mxfp4"}}',12288),
('gpt2','{"architectures":["GPT2LMHeadModel"],"model_type":"gpt2","n_layer":12,"n_embd":768,"n_head":12,"n_positions":1024,"n_ctx":1024}',18432),
('falcon-7b','{"model_type":"falcon","num_hidden_layers":32,"hidden_size":4544,"num_attention_heads":71,"multi_query":true,"new_decoder_architecture":false}',4096),
('falcon-40b','{"model_type":"falcon","num_hidden_layers":60,"hidden_size":8192,"num_attention_heads":128,"num_kv_heads":8,"multi_query":true,"new_decoder_architecture":true}',61440),
('bert','{"architectures":["BertForMaskedLM"],"model_type":"bert","num_hidden_layers":12,"hidden_size":768,"num_attention_heads":12,"max_position_embeddings":512}',0),
('t5','{"model_type":"t5","is_encoder_decoder":true,"num_layers":12,"num_decoder_layers":12,"d_model":768,"d_kv":64,"num_heads":12}',18432),
('distil-whisper','{"model_type":"whisper","is_encoder_decoder":true,"num_hidden_layers":32,"decoder_layers":2,"d_model":1280,"decoder_attention_heads":20}',5120),
('mamba-2.8b','{"model_type":"mamba","num_hidden_layers":64,"hidden_size":2560,"intermediate_size":5120,"state_size":16}',0),
('jamba','{"model_type":"jamba","num_hidden_layers":32,"hidden_size":4096,"num_attention_heads":32,"num_key_value_heads":8,"attn_layer_period":8,"attn_layer_offset":4,"mamba_expand":2,"mamba_d_state":16,"num_experts":16,"num_experts_per_tok":2,"intermediate_size":14336}',8192),
('qwen3-next','{"model_type":"qwen3_next","num_hidden_layers":48,"hidden_size":2048,"num_attention_heads":16,"num_key_value_heads":2,"head_dim":256,"full_attention_interval":4,"linear_num_value_heads":32,"linear_value_head_dim":128,"linear_key_head_dim":128,"num_experts":512,"num_experts_per_tok":10,"moe_intermediate_size":512}',12288),
('qwen3-30b-a3b','{"model_type":"qwen3_moe","num_hidden_layers":48,"hidden_size":2048,"num_attention_heads":32,"num_key_value_heads":4,"head_dim":128,"num_experts":128,"num_experts_per_tok":8,"moe_intermediate_size":768}',49152),
('awq','{"model_type":"llama","num_hidden_layers":32,"hidden_size":4096,"num_attention_heads":32,"num_key_value_heads":8,"quantization_config":{"quant_method":"awq","bits":4}}',65536),
('nothing','{"foo":1}',null),('rwkv','{"model_type":"rwkv","num_hidden_layers":24,"hidden_size":2048}',0);
select m.name, m.kept is not distinct from a.kv_elements as as_published, a.class, a.kv_elements, a.window_elements, a.sliding_window, a.state_elements, a.attention
from model m, sparse_architecture(m.config) a order by m.name collate "C";
select m.name, a.experts, a.experts_used, a.expert_parameters, a.quantisation, a.bits, a.positions
from model m, sparse_architecture(m.config) a where a.experts > 1 or a.quantisation is not null or a.positions is not null order by m.name collate "C";
select m.name, a.unknown from model m, sparse_architecture(m.config) a where a.unknown <> '{}' order by m.name collate "C";
-- nothing in a config raises an error
select count(*) from (values ('[]'::jsonb), ('{}'), ('1'), ('{"num_hidden_layers": "x"}'), ('{"layer_types": {}, "text_config": 3}'), ('{"layer_types": [1, null]}'),
    ('{"num_hidden_layers": 0, "num_attention_heads": 0, "hidden_size": 0, "sliding_window": 0, "attn_layer_period": 0}'), ('{"quantization_config": []}')) c (config),
    sparse_architecture(c.config);

create function framed(header text, bytes integer) returns bytea language sql as $$
    select substr(int8send(octet_length(header)), 8, 1) || '\x00000000000000'::bytea || convert_to(header, 'UTF8') || convert_to(repeat('x', bytes), 'UTF8') $$;
-- An adapter runs on its base
select sparse_import_bytes('base', framed(rpad('{"model.embed_tokens.weight": {"dtype": "BF16", "shape": [8], "data_offsets": [0, 16]}, "lm_head.weight": {"dtype": "BF16", "shape": [8], "data_offsets": [16, 32]}}', 200), 32),
    metadata => jsonb_build_object('config', (select config from model where name = 'llama3-8b'))) as base \gset
select sparse_import_bytes('adapter', framed(rpad('{"base_model.model.q_proj.lora_A.weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}', 120), 8), array['base']) as adapter \gset
select sparse_import_bytes('orphan', framed(rpad('{"base_model.model.q_proj.lora_B.weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}', 120), 8)) as orphan \gset
select class, base = :base as on_base, weight_bytes, parameters, kv_elements, read_bytes from sparse_weights(:base);
select class, base = :base as on_base, weight_bytes, parameters, kv_elements, read_bytes from sparse_weights(:adapter);
select class, base, weight_bytes from sparse_weights(:orphan);
select distinct refusal from sparse_route_candidates(jsonb_build_object('versions', jsonb_build_array(:orphan)));
-- beside its base it is loaded alone
insert into sparse.deployment (host, hardware, version) values ('gpu1', 'H100 SXM', :base);
select host, memory_bytes > 32 as as_its_base, refusal, reason ~ 'its deltas are loaded' as beside_its_base
from sparse_route_candidates(jsonb_build_object('versions', jsonb_build_array(:adapter), 'hardware', '["H100 SXM"]'::jsonb)) order by host;
-- Packed weights count as what they hold
select sparse_import_bytes('packed', framed(rpad('{"q.qweight": {"dtype": "I32", "shape": [2], "data_offsets": [0, 8]}, "q.qzeros": {"dtype": "I32", "shape": [1], "data_offsets": [8, 12]}, "q.scales": {"dtype": "F16", "shape": [2], "data_offsets": [12, 16]}}', 250), 16),
    metadata => jsonb_build_object('config', (select config from model where name = 'awq'))) as packed \gset
select parameters, weight_bytes, quantisation, computes from sparse_weights(:packed);
-- An encoder writes nothing
select sparse_import_bytes('encoder', framed(rpad('{"bert.w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}', 80), 16),
    metadata => jsonb_build_object('config', (select config from model where name = 'bert'))) as encoder \gset
select refusal, token_ms, memory_bytes from sparse_route_candidates(jsonb_build_object('versions', jsonb_build_array(:encoder), 'hardware', '["L4"]'::jsonb, 'prompt_tokens', 512, 'batch', 1));
select refusal from sparse_route_candidates(jsonb_build_object('versions', jsonb_build_array(:encoder), 'hardware', '["L4"]'::jsonb, 'prompt_tokens', 513, 'batch', 1));
-- Several devices, a batch by what comes, budgets, and what does not run
insert into sparse.version (name, revision, family, state, content_sha256, raw_bytes, stored_bytes, metadata)
select n, 1, 1, 'ready', sha256(n::bytea), b, b, jsonb_build_object('config', m.config)
from (values ('llama2-70b', 138e9), ('llama3-8b', 16e9)) v (n, b) join model m on m.name = v.n order by n;
select hardware, refusal from sparse_route_candidates('{"versions": ["llama2-70b"], "hardware": ["H100 SXM", "2x H100 SXM", "8x H100 SXM"], "prompt_tokens": 1000, "output_tokens": 100, "batch": 1}') order by 1;
select hardware, batch, round(token_ms::numeric, 2) as token_ms, refusal from sparse_route_candidates('{"versions": ["llama2-70b"], "hardware": ["4x H100 SXM", "8x H100 SXM"], "prompt_tokens": 1000, "output_tokens": 100, "rate": 2}') order by 1;
select batch, refusal from sparse_route_candidates('{"versions": ["llama3-8b"], "hardware": ["H100 SXM"], "prompt_tokens": 1000, "output_tokens": 100, "token_ms": 25}');
select batch, refusal from sparse_route_candidates('{"versions": ["llama3-8b"], "hardware": ["H100 SXM"], "prompt_tokens": 1000, "output_tokens": 100, "token_ms": 1}');
select refusal from sparse_route_candidates('{"versions": ["llama3-8b"], "hardware": ["H100 SXM"], "prompt_tokens": 8000, "output_tokens": 1000}');
select round(a.memory_bytes - b.memory_bytes) as saved from sparse_route_candidates('{"versions": ["llama3-8b"], "hardware": ["H100 SXM"], "prompt_tokens": 1000, "output_tokens": 24, "batch": 1}') a,
    sparse_route_candidates('{"versions": ["llama3-8b"], "hardware": ["H100 SXM"], "prompt_tokens": 1000, "output_tokens": 24, "batch": 1, "kv_dtype": "fp8"}') b;
select from sparse_route('{"versions": [1], "kv_dtype": "int3"}');
