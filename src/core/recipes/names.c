/*
 * names.c: the names by which tools know one tensor.
 *
 * A name comes with prefixes of wrappers or without them, and it is llama.cpp's or that of transformers: "blk.3.attn_q.weight"
 * is "model.layers.3.self_attn.q_proj.weight". What a name is not found by here is still found by content (renamed.c).
 */
#include "search.h"

#include <string.h>

/* Of a layer; what follows (".weight", ".bias") is the same. Where several of transformers have one of llama.cpp, the usual one comes first. */
static const char *const of_layers[][2] = {
	{"attn_q", "self_attn.q_proj"}, {"attn_k", "self_attn.k_proj"}, {"attn_v", "self_attn.v_proj"}, {"attn_output", "self_attn.o_proj"},
	{"attn_q_norm", "self_attn.q_norm"}, {"attn_k_norm", "self_attn.k_norm"}, {"attn_norm", "input_layernorm"},
	{"ffn_norm", "post_attention_layernorm"}, {"ffn_norm", "pre_feedforward_layernorm"}, {"post_attention_norm", "post_attention_layernorm"},
	{"post_ffw_norm", "post_feedforward_layernorm"}, {"ffn_gate", "mlp.gate_proj"}, {"ffn_up", "mlp.up_proj"}, {"ffn_down", "mlp.down_proj"},
	{"attn_qkv", "self_attn.qkv_proj"}, {"ffn_up", "mlp.gate_up_proj"}, {"ffn_gate_inp", "mlp.gate"}, {"ffn_gate_inp", "block_sparse_moe.gate"},
};

static const char *const of_models[][2] = {
	{"token_embd", "model.embed_tokens"}, {"output_norm", "model.norm"}, {"output", "lm_head"},
};

#define BLOCKS "blk."
#define LAYERS "model.layers."

/* What follows a stem, where a name begins with it and goes on behind a dot; else NULL. */
static const char *
behind(const char *name, const char *stem)
{
	const size_t length = strlen(stem);

	return strncmp(name, stem, length) == 0 && name[length] == '.' ? name + length : NULL;
}

/* Names by the table, from one side to the other, in front of which `before` goes; how many. */
static int
translate(const recipe_search *search, const char *name, const char *const (*table)[2], int entries, int from, const char *before,
		  char **names, int room)
{
	int			count = 0;

	for (int i = 0; i < entries && count < room; i++)
	{
		const char *rest = behind(name, table[i][from]);

		if (rest != NULL)
			names[count++] = workspace_format(search->work, "%s%s%s", before, table[i][1 - from], rest);
	}
	return count;
}

/* The same of a layer: prefix, number and dot come before. */
static int
translate_layer(const recipe_search *search, const char *name, int from, char **names, int room)
{
	static const char *const prefix[] = {BLOCKS, LAYERS};
	const size_t length = strlen(prefix[from]);
	const size_t digits = strncmp(name, prefix[from], length) == 0 ? strspn(name + length, "0123456789") : 0;
	const char *rest = name + length + digits + 1;
	char	   *number;

	if (digits == 0 || name[length + digits] != '.')
		return 0;
	number = workspace_beginning(search->work, name + length, digits);
	return translate(search, rest, of_layers, LENGTH(of_layers), from, workspace_format(search->work, "%s%s.", prefix[1 - from], number),
					 names, room);
}

static int
other_convention(const recipe_search *search, const char *name, char **names, int room)
{
	int			count = 0;

	for (int from = 0; from <= 1; from++)
	{
		count += translate(search, name, of_models, LENGTH(of_models), from, "", names + count, room - count);
		count += translate_layer(search, name, from, names + count, room - count);
	}
	return count;
}

int
recipes_names(const recipe_search *search, const char *name, char **names, int room)
{
	static const char *const prefix[] = {"model.", "base_model.model.", "transformer.", "module.", "language_model.",
	"_orig_mod.", "base_model."};
	int			count = 0;

	names[count++] = workspace_text(search->work, name);
	count += other_convention(search, name, names + count, room - count);
	for (int i = 0; i < LENGTH(prefix) && count < room; i++)
		if (strncmp(name, prefix[i], strlen(prefix[i])) == 0 && name[strlen(prefix[i])] != '\0')
			names[count++] = workspace_text(search->work, name + strlen(prefix[i]));
	for (int i = 0; i < LENGTH(prefix) && count < room; i++)
		names[count++] = workspace_format(search->work, "%s%s", prefix[i], name);
	return count;
}

