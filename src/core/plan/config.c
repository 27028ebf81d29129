/*
 * config.c: which JSON files become metadata, and what of them can (see config.h).
 */
#include "config.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "codec/json.h"
#include "codec/message.h"

/* The last four are what GPTQ, AWQ and ModelOpt wrote before config.json had a place for it. */
const sparse_config_file sparse_config_files[SPARSE_CONFIG_FILES] = {
	{"config.json", "config"},
	{"generation_config.json", "generation_config"},
	{"quantization_config.json", "quantization_config"},
	{"quantize_config.json", "quantization_config"},
	{"quant_config.json", "quantization_config"},
	{"hf_quant_config.json", "quantization_config"}
};

/* numeric ends where double does not begin to: 10^-16383. */
static bool
number_fits(const sparse_json_event *event)
{
	char		digits[64];
	const char *exponent;

	if (event->bytes >= sizeof digits)
		return false;
	memcpy(digits, event->text, event->bytes);
	digits[event->bytes] = '\0';
	exponent = strpbrk(digits, "eE");
	return isfinite(strtod(digits, NULL)) && (exponent == NULL || strtol(exponent + 1, NULL, 10) > -1000);
}

typedef struct fit
{
	bool		begun;
	const char *reason;
} fit;

static bool
fits_jsonb(void *state, const sparse_json_event *event)
{
	fit		   *f = state;
	bool		is_text = event->kind == SPARSE_JSON_STRING || event->kind == SPARSE_JSON_KEY;

	if (!f->begun && event->kind != SPARSE_JSON_OPEN_OBJECT)
		f->reason = "it is no object";
	else if (is_text && event->bytes > 0 && memchr(event->text, '\0', event->bytes) != NULL)
		f->reason = "a string in it holds a zero byte";
	else if (event->kind == SPARSE_JSON_NUMBER && !number_fits(event))
		f->reason = "a number in it is out of range";
	f->begun = true;
	return f->reason == NULL;
}

sparse_status
sparse_config_check(const sparse_allocator *allocator, const char *text, size_t bytes, char *error, size_t error_size)
{
	fit			f = {0};
	sparse_status status = sparse_json_parse(allocator, text, bytes, fits_jsonb, &f, error, error_size);

	if (status != SPARSE_OK && f.reason)
		(void) sparse_complain(error, error_size, "%s", f.reason);
	return status;
}
