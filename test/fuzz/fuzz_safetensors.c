/*
 * fuzz_safetensors.c: any header at all. The first 8 bytes of the input say how
 * many bytes follow the header in the file (so that a fuzzer can hit the exact
 * size); the rest is the JSON, whose length is put before it. What is accepted
 * must keep the promises of safetensors.h.
 */
#include "codec/message.h"
#include "codec/safetensors.h"

#include <stdlib.h>
#include <string.h>

#define REQUIRE(cond) do { if (!(cond)) abort(); } while (0)

static uint64_t
read_number(const uint8_t *bytes)
{
	uint64_t	number = 0;

	for (int i = 8; i-- > 0;)
		number = number << 8 | bytes[i];
	return number;
}

/* What a registry stores must be what the header said. */
static void
check_accepted(const sparse_layout *parsed, uint64_t data_bytes)
{
	const char *string = parsed->metadata;
	uint64_t	end = 0;

	REQUIRE(parsed->data_bytes == data_bytes);
	for (uint32_t i = 0; i < parsed->tensors; i++)
	{
		const sparse_tensor *tensor = &parsed->tensor[i];
		unsigned	element = sparse_dtype_bits(tensor->dtype_name, strlen(tensor->dtype_name));
		uint64_t	bits = element;

		REQUIRE(tensor->first == end);
		REQUIRE(sparse_utf8_valid(tensor->name, strlen(tensor->name)));
		REQUIRE(sparse_utf8_valid(tensor->dtype_name, strlen(tensor->dtype_name)));
		for (uint32_t j = 0; j < tensor->rank; j++)
			bits *= tensor->shape[j];
		REQUIRE(element == 0 || (bits % 8 == 0 && bits / 8 == tensor->bytes));
		end += tensor->bytes;
	}
	REQUIRE(end == data_bytes);
	for (uint32_t i = 0; i < 2 * parsed->metadata_pairs; i++)
	{
		REQUIRE(sparse_utf8_valid(string, strlen(string)));
		string += strlen(string) + 1;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	sparse_layout parsed;
	char		error[SPARSE_MESSAGE];
	uint64_t	data_bytes;
	uint64_t	header_bytes;
	uint8_t    *header;

	if (size < 8)
		return 0;
	data_bytes = read_number(input);
	sparse_safetensors_header_bytes(input, size, &header_bytes, error, sizeof error);
	header = malloc(size);
	for (int i = 0; i < 8; i++)
		header[i] = (uint8_t) ((uint64_t) (size - 8) >> 8 * i);
	memcpy(header + 8, input + 8, size - 8);
	if (data_bytes > UINT64_MAX - size)
		data_bytes = UINT64_MAX - size;
	if (sparse_safetensors_parse(NULL, NULL, header, size, size + data_bytes, &parsed, error, sizeof error) == SPARSE_OK)
	{
		check_accepted(&parsed, data_bytes);
		sparse_layout_free(NULL, &parsed);
	}
	else
		REQUIRE(error[0] != '\0' && strlen(error) < sizeof error && sparse_utf8_valid(error, strlen(error)));
	free(header);
	return 0;
}
