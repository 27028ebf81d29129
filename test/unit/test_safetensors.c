/*
 * test_safetensors.c: what the safetensors parser accepts, what it refuses and
 * with which words, and that no header, however broken, hurts it.
 */
#include "codec/message.h"
#include "codec/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int	tests;
static int	failures;

static void
ok(bool good, const char *sentence)
{
	failures += !good;
	printf("%sok %d - %s\n", good ? "" : "not ", ++tests, sentence);
}

/* ---- an allocator that counts, and fails when told ---- */

typedef struct counter
{
	size_t		now, most;
	long		allocations, fail_at;
} counter;

static void *
count_allocate(void *state, size_t bytes)
{
	counter    *count = state;
	size_t	   *block;

	if (++count->allocations == count->fail_at || (block = malloc(bytes + 16)) == NULL)
		return NULL;
	*block = bytes;
	count->now += bytes;
	if (count->now > count->most)
		count->most = count->now;
	return (char *) block + 16;
}

static void
count_release(void *state, void *bytes)
{
	size_t	   *block;

	if (bytes == NULL)
		return;
	block = (size_t *) ((char *) bytes - 16);
	((counter *) state)->now -= *block;
	free(block);
}

/* ---- headers ---- */

static void
put_length(unsigned char *header, uint64_t n)
{
	for (int i = 0; i < 8; i++)
		header[i] = (unsigned char) (n >> 8 * i);
}

/* Parses a header of `bytes` bytes of JSON before `data` bytes, from an exact buffer. */
static sparse_status
parse_bytes(const sparse_allocator *allocator, const char *json, size_t bytes, uint64_t data,
			sparse_layout *parsed, char error[SPARSE_MESSAGE])
{
	unsigned char *header = malloc(8 + bytes);
	sparse_status status;

	put_length(header, bytes);
	memcpy(header + 8, json, bytes);
	status = sparse_safetensors_parse(allocator, NULL, header, 8 + bytes, 8 + bytes + data, parsed,
									  error, SPARSE_MESSAGE);
	free(header);				/* nothing parsed may point into it */
	return status;
}

static sparse_status
parse(const char *json, uint64_t data, sparse_layout *parsed, char error[SPARSE_MESSAGE])
{
	return parse_bytes(NULL, json, strlen(json), data, parsed, error);
}

static bool
accepts(const char *json, uint64_t data)
{
	sparse_layout parsed;
	char		error[SPARSE_MESSAGE];
	sparse_status status = parse(json, data, &parsed, error);

	if (status == SPARSE_OK)
		sparse_layout_free(NULL, &parsed);
	else
		printf("# %s: %s\n", json, error);
	return status == SPARSE_OK;
}

/* Whether a message is one that may be shown. */
static bool
well_put(const char *error)
{
	size_t		length = strlen(error);

	return length > 0 && length < SPARSE_MESSAGE && error[length - 1] != '.' &&
		strpbrk(error, "\n\r\t") == NULL && sparse_utf8_valid(error, length);
}

static bool
refuses_bytes(const char *json, size_t bytes, uint64_t data, const char *words)
{
	sparse_layout parsed;
	char		error[SPARSE_MESSAGE];
	sparse_status status = parse_bytes(NULL, json, bytes, data, &parsed, error);

	if (status == SPARSE_OK)
		sparse_layout_free(NULL, &parsed);
	if (status != SPARSE_OK && well_put(error) && strstr(error, words) != NULL)
		return true;
	printf("# %s: status %d, \"%s\", wanted \"%s\"\n", json, status, status ? error : "", words);
	return false;
}

static bool
refuses(const char *json, uint64_t data, const char *words)
{
	return refuses_bytes(json, strlen(json), data, words);
}

#define U8(name, from, to, size) "\"" name "\":{\"dtype\":\"U8\",\"shape\":[" #size "],\"data_offsets\":[" #from "," #to "]}"

/* ---- what is accepted ---- */

/* Four elements of each dtype of the format: exactly the bytes that they take are accepted. */
static bool
sizes_are_checked(void)
{
	static const struct
	{
		const char *dtype;
		unsigned	bytes;
	}			known[] = {
		{"BOOL", 4}, {"F4", 2}, {"F6_E2M3", 3}, {"F6_E3M2", 3}, {"U8", 4}, {"I8", 4}, {"F8_E5M2", 4}, {"F8_E4M3", 4},
		{"F8_E8M0", 4}, {"F8_E4M3FNUZ", 4}, {"F8_E5M2FNUZ", 4}, {"I16", 8}, {"U16", 8}, {"F16", 8}, {"BF16", 8},
		{"I32", 16}, {"U32", 16}, {"F32", 16}, {"C64", 32}, {"F64", 32}, {"I64", 32}, {"U64", 32}
	};
	bool		good = true;

	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		for (unsigned bytes = 0; bytes <= 40; bytes++)
		{
			char		json[200];
			char		error[SPARSE_MESSAGE];
			sparse_layout parsed;
			bool		accepted;

			snprintf(json, sizeof json, "{\"t\":{\"dtype\":\"%s\",\"shape\":[2,2],\"data_offsets\":[0,%u]}}",
					 known[i].dtype, bytes);
			accepted = parse(json, bytes, &parsed, error) == SPARSE_OK;
			good &= accepted == (bytes == known[i].bytes);
			if (accepted)
				sparse_layout_free(NULL, &parsed);
		}
	return good;
}

static bool
reads_everything(void)
{
	static const char *const json =
		"{\"__metadata__\":{\"format\":\"pt\",\"\\u00e9\":\"a\\u0000b\\n\"},"
		"\"w\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[4,16]},"
		"\"\\ud83d\\ude00 \xC3\xA9\":{\"data_offsets\":[0,4],\"shape\":[],\"dtype\":\"F32\"},"
		"\"odd\":{\"dtype\":\"F3\",\"shape\":[5],\"data_offsets\":[16,19]}}   ";
	sparse_layout parsed;
	char		error[SPARSE_MESSAGE];
	const sparse_tensor *t;
	bool		good;

	if (parse(json, 19, &parsed, error) != SPARSE_OK)
		return false;
	t = parsed.tensor;
	good = parsed.tensors == 3 && parsed.header_bytes == 8 + strlen(json) && parsed.data_bytes == 19 &&
		strcmp(t[0].name, "\xF0\x9F\x98\x80 \xC3\xA9") == 0 && t[0].dtype == SPARSE_F32 &&
		t[0].rank == 0 && t[0].first == 0 && t[0].bytes == 4 &&
		strcmp(t[1].name, "w") == 0 && t[1].dtype == SPARSE_BF16 && t[1].rank == 2 &&
		t[1].shape[0] == 2 && t[1].shape[1] == 3 && t[1].first == 4 && t[1].bytes == 12 &&
		strcmp(t[2].dtype_name, "F3") == 0 && t[2].dtype == SPARSE_BYTES && t[2].shape[0] == 5 &&
		parsed.metadata_pairs == 2 &&
		memcmp(parsed.metadata, "format\0pt\0\xC3\xA9\0a\xEF\xBF\xBD" "b\n", 20) == 0;
	sparse_layout_free(NULL, &parsed);
	return good;
}

static bool
every_dtype_has_its_size(void)
{
	char		json[200];

	for (int i = 1; i < SPARSE_DTYPES; i++)
	{
		const sparse_dtype_info *info = sparse_dtype_get((sparse_dtype) i);

		snprintf(json, sizeof json, "{\"t\":{\"dtype\":\"%s\",\"shape\":[3,5],\"data_offsets\":[0,%d]}}",
				 info->name, 15 * info->bytes);
		if (!accepts(json, 15 * info->bytes) ||
			!refuses(json, 15 * info->bytes + 1, "1 bytes at the end of the file belong to no tensor"))
			return false;
		snprintf(json, sizeof json, "{\"t\":{\"dtype\":\"%s\",\"shape\":[3,5],\"data_offsets\":[0,%d]}}",
				 info->name, 15 * info->bytes - 1);
		if (!refuses(json, 15 * info->bytes - 1, "its shape and dtype ask for"))
			return false;
	}
	return true;
}

static bool
empty_tensors_come_first(void)
{
	static const char *const json = "{" U8("full", 0, 4, 4) "," U8("b", 4, 4, 0) "," U8("a", 0, 0, 0) ","
		U8("c", 4, 4, 0) "}";
	sparse_layout parsed;
	char		error[SPARSE_MESSAGE];
	bool		good;

	if (parse(json, 4, &parsed, error) != SPARSE_OK)
		return false;
	good = strcmp(parsed.tensor[0].name, "a") == 0 && strcmp(parsed.tensor[1].name, "full") == 0 &&
		strcmp(parsed.tensor[2].name, "b") == 0 && strcmp(parsed.tensor[3].name, "c") == 0;
	sparse_layout_free(NULL, &parsed);
	return good;
}

/* A shape of `rank` ones. */
static char *
many_dimensions(int rank)
{
	char	   *json = calloc(1, 200 + 2 * (size_t) rank);
	char	   *at = json + sprintf(json, "{\"t\":{\"dtype\":\"U8\",\"data_offsets\":[0,1],\"shape\":[");

	for (int i = 0; i < rank; i++)
		at += sprintf(at, i ? ",1" : "1");
	strcpy(at, "]}}");
	return json;
}

/* An entry with an unknown key whose value is nested `depth` deep. */
static char *
nested(int depth)
{
	char	   *json = calloc(1, 200 + 2 * (size_t) depth);
	char	   *at = json + sprintf(json, "{\"t\":{\"x\":");

	memset(at, '[', (size_t) depth);
	memset(at + depth, ']', (size_t) depth);
	strcpy(at + 2 * depth, ",\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}");
	return json;
}

static void
test_accepted(void)
{
	char	   *wide = many_dimensions(64);
	char	   *deep = nested(126);

	ok(reads_everything(), "names, dtypes, shapes, offsets and metadata are read, in the order of their bytes");
	ok(every_dtype_has_its_size(), "every dtype of the format is known with its size");
	ok(empty_tensors_come_first(), "empty tensors stand before what begins at the same byte");
	ok(accepts("{}", 0), "a header without tensors is valid when the file ends there");
	ok(accepts("{\"__metadata__\":{}}", 0), "empty metadata is accepted");
	ok(accepts("{\"__metadata__\":null," U8("a", 0, 1, 1) "}", 1), "null metadata is accepted, as by the reference implementation");
	ok(accepts("{}   \n\t\r ", 0), "whitespace may pad the header");
	ok(accepts("{ \"a\" :\n{\"shape\": [ 2 ],\t\"data_offsets\":[0, 2 ], \"dtype\":\"U8\" } }", 2),
	   "keys of an entry come in any order, with any whitespace between");
	ok(accepts("{" U8("b", 2, 5, 3) "," U8("a", 0, 2, 2) "}", 5), "offsets come in any order");
	ok(accepts("{" U8("", 0, 1, 1) "}", 1), "an empty name is a name");
	ok(accepts("{\"a\":{\"dtype\":\"F32\",\"shape\":[0,4],\"data_offsets\":[0,0]}}", 0), "a shape may hold zeros");
	ok(accepts("{\"a\":{\"dtype\":\"F32\",\"shape\":[0,9223372036854775807,9223372036854775807],\"data_offsets\":[0,0]}}", 0),
	   "after a zero no dimension overflows");
	ok(accepts("{\"a\":{\"dtype\":\"C65\",\"shape\":[2],\"data_offsets\":[0,16]}}", 16), "an unknown dtype may have any size");
	ok(sizes_are_checked(), "a tensor of any dtype of the format has as many bytes as its shape asks for, no more and no fewer");
	ok(accepts("{\"a\":{\"dtype\":\"\",\"shape\":[2],\"data_offsets\":[0,0]}}", 0), "an unknown dtype may be empty");
	ok(accepts("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"x\":{\"y\":[1,{\"z\":null}]},\"x\":-1.5e3,\"w\":true}}", 1),
	   "unknown keys of an entry are ignored, whatever they hold");
	ok(accepts("{\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1),
	   "every escape is allowed in a name");
	ok(accepts(wide, 1), "64 dimensions are accepted");
	ok(accepts(deep, 0), "128 levels of nesting are accepted");
	free(wide);
	free(deep);
}

/* ---- what is refused ---- */

typedef struct refusal
{
	const char *sentence;
	const char *json;
	uint64_t	data;
	const char *words;
} refusal;

#define ENTRY(rest) "{\"t\":{" rest "}}"
#define D "\"dtype\":\"U8\""
#define S "\"shape\":[1]"
#define O "\"data_offsets\":[0,1]"

static const refusal refusals[] = {
	{"a header that is no object is refused", "[]", 0, "does not begin with {"},
	{"a header that begins with a space is refused", " {}", 0, "does not begin with {"},
	{"a header that begins with a byte order mark is refused", "\xEF\xBB\xBF{}", 0, "does not begin with {"},
	{"a header that breaks off is refused", "{\"a\":", 0, "not JSON"},
	{"anything behind the object is refused", "{}{}", 0, "not JSON"},
	{"letters behind the object are refused", "{}  x", 0, "not JSON"},
	{"a comment is refused", "{/* a */}", 0, "not JSON"},
	{"a trailing comma is refused", "{" U8("a", 0, 1, 1) ",}", 1, "not JSON"},
	{"a control character within a string is refused", "{\"a\nb\":1}", 0, "not JSON"},
	{"an unknown escape is refused", "{\"a\\x\":1}", 0, "not JSON"},
	{"an overlong encoding is refused", "{\"\xC0\x80\":1}", 0, "not UTF-8"},
	{"an encoded surrogate is refused", "{\"\xED\xA0\x80\":1}", 0, "not UTF-8"},
	{"a character past U+10FFFF is refused", "{\"\xF4\x90\x80\x80\":1}", 0, "not UTF-8"},
	{"a character that breaks off is refused", "{}\xE2\x82", 0, "not UTF-8"},
	{"a high surrogate alone is refused", "{\"\\ud800\":1}", 0, "half a surrogate pair"},
	{"a high surrogate before another escape is refused", "{\"\\ud800\\n\":1}", 0, "half a surrogate pair"},
	{"two high surrogates are refused", "{\"\\ud800\\ud800\":1}", 0, "half a surrogate pair"},
	{"a low surrogate alone is refused", "{\"x\\\\\\udc00\":1}", 0, "half a surrogate pair"},
	{"a zero in a name is refused", "{" U8("a\\u0000b", 0, 1, 1) "}", 1, "\"a?b\" holds a zero byte"},
	{"a zero in a dtype is refused", ENTRY("\"dtype\":\"U8\\u0000\"," S "," O), 1, "dtype of tensor \"t\" is not a name"},
	{"a zero in a metadata key is refused", "{\"__metadata__\":{\"k\\u0000\":\"\"}}", 0, "\"k?\" of __metadata__ holds a zero byte"},
	{"metadata that is no object is refused", "{\"__metadata__\":false}", 0, "__metadata__ is not an object"},
	{"metadata of anything but strings is refused", "{\"__metadata__\":{\"k\":1}}", 0, "value of \"k\" in __metadata__"},
	{"nested metadata is refused", "{\"__metadata__\":{\"k\":{}}}", 0, "value of \"k\" in __metadata__"},
	{"metadata twice is refused", "{\"__metadata__\":{},\"__metadata__\":{}}", 0, "__metadata__ stands there twice"},
	{"a metadata key twice is refused", "{\"__metadata__\":{\"k\":\"\",\"j\":\"\",\"k\":\"\"}}", 0, "key \"k\" of __metadata__ stands there twice"},
	{"an entry that is no object is refused", "{\"t\":[]}", 0, "tensor \"t\" is not an object"},
	{"an entry without a dtype is refused", ENTRY(S "," O), 1, "tensor \"t\" has no dtype"},
	{"an entry without a shape is refused", ENTRY(D "," O), 1, "tensor \"t\" has no shape"},
	{"an entry without offsets is refused", ENTRY(D "," S), 1, "tensor \"t\" has no data_offsets"},
	{"a dtype twice is refused", ENTRY(D "," S "," O "," D), 1, "tensor \"t\" has dtype twice"},
	{"a shape twice is refused", ENTRY(D "," S "," O "," S), 1, "tensor \"t\" has shape twice"},
	{"offsets twice are refused", ENTRY(D "," S "," O "," O), 1, "tensor \"t\" has data_offsets twice"},
	{"a dtype that is no string is refused", ENTRY("\"dtype\":8," S "," O), 1, "dtype of tensor \"t\" is not a name"},
	{"a shape that is no array is refused", ENTRY(D ",\"shape\":1," O), 1, "shape of tensor \"t\" is not an array"},
	{"offsets that are no array are refused", ENTRY(D "," S ",\"data_offsets\":{}"), 1, "data_offsets of tensor \"t\" are not an array"},
	{"a negative dimension is refused", ENTRY(D ",\"shape\":[-1]," O), 1, "shape of tensor \"t\""},
	{"a negative zero is refused", ENTRY(D ",\"shape\":[-0]," O), 1, "shape of tensor \"t\""},
	{"a dimension with a fraction is refused", ENTRY(D ",\"shape\":[1.0]," O), 1, "shape of tensor \"t\""},
	{"a dimension with an exponent is refused", ENTRY(D ",\"shape\":[1e0]," O), 1, "shape of tensor \"t\""},
	{"a dimension of 2^63 is refused", ENTRY(D ",\"shape\":[9223372036854775808]," O), 1, "shape of tensor \"t\""},
	{"a dimension past 2^64 is refused", ENTRY(D ",\"shape\":[18446744073709551617]," O), 1, "shape of tensor \"t\""},
	{"a dimension with a leading zero is refused", ENTRY(D ",\"shape\":[01]," O), 1, "not JSON"},
	{"a dimension that is a string is refused", ENTRY(D ",\"shape\":[\"1\"]," O), 1, "shape of tensor \"t\""},
	{"a nested shape is refused", ENTRY(D ",\"shape\":[[1]]," O), 1, "shape of tensor \"t\""},
	{"one offset is refused", ENTRY(D "," S ",\"data_offsets\":[0]"), 1, "data_offsets of tensor \"t\" are not two"},
	{"three offsets are refused", ENTRY(D "," S ",\"data_offsets\":[0,1,1]"), 1, "data_offsets of tensor \"t\" are not two"},
	{"a fractional offset is refused", ENTRY(D "," S ",\"data_offsets\":[0,1.5]"), 1, "data_offsets of tensor \"t\" are not integers"},
	{"offsets that end before they begin are refused", ENTRY(D "," S ",\"data_offsets\":[1,0]"), 1, "data_offsets of tensor \"t\" end before they begin"},
	{"a shape whose product overflows is refused", ENTRY(D ",\"shape\":[4294967296,4294967296]," O), 1, "shape of tensor \"t\" overflows"},
	{"a shape that overflows with its dtype is refused", ENTRY("\"dtype\":\"F64\",\"shape\":[2305843009213693952]," O), 1, "shape of tensor \"t\" overflows"},
	{"a shape that overflows before its zero is refused", ENTRY(D ",\"shape\":[4294967296,4294967296,0]," O), 1, "shape of tensor \"t\" overflows"},
	{"an unknown dtype's shape may not overflow either", ENTRY("\"dtype\":\"F3\",\"shape\":[4294967296,4294967296]," O), 1, "shape of tensor \"t\" overflows"},
	{"three elements of four bits are refused", ENTRY("\"dtype\":\"F4\",\"shape\":[3]," O), 1, "tensor \"t\" is no whole number of bytes: its shape and dtype ask for 12 bits"},
	{"a shape that asks for other bytes is refused", ENTRY(D ",\"shape\":[2]," O), 1, "tensor \"t\" has 1 bytes, its shape and dtype ask for 2"},
	{"a tensor twice is refused", "{" U8("b", 0, 1, 1) "," U8("a", 1, 2, 1) "," U8("b", 2, 3, 1) "}", 3, "tensor \"b\" stands there twice"},
	{"a tensor twice in two spellings is refused", "{" U8("a", 0, 1, 1) "," U8("\\u0061", 1, 2, 1) "}", 2, "tensor \"a\" stands there twice"},
	{"overlapping tensors are refused", "{" U8("a", 0, 4, 4) "," U8("b", 2, 6, 4) "}", 6, "tensor \"b\" begins at byte 2 of the data, not at 4: it overlaps another"},
	{"tensors that share their bytes are refused", "{" U8("a", 0, 4, 4) "," U8("b", 0, 4, 4) "}", 4, "it overlaps another"},
	{"an empty tensor within another is refused", "{" U8("a", 0, 4, 4) "," U8("b", 2, 2, 0) "}", 4, "tensor \"b\" begins at byte 2"},
	{"a gap between tensors is refused", "{" U8("a", 0, 1, 1) "," U8("b", 2, 3, 1) "}", 3, "tensor \"b\" begins at byte 2 of the data, not at 1: there is a gap before it"},
	{"a gap before the first tensor is refused", "{" U8("a", 1, 2, 1) "}", 2, "there is a gap before it"},
	{"an empty tensor past the end is refused", "{" U8("a", 0, 1, 1) "," U8("b", 2, 2, 0) "}", 1, "there is a gap before it"},
	{"a tensor past the end of the file is refused", "{" U8("a", 0, 4, 4) "}", 3, "tensor \"a\" ends at byte 4 of the data, of which the file has 3"},
	{"bytes behind the tensors are refused", "{" U8("a", 0, 4, 4) "}", 9, "5 bytes at the end of the file belong to no tensor"},
	{"bytes of no tensor at all are refused", "{}", 9, "9 bytes at the end of the file belong to no tensor"},
};

static bool
bounded_by(uint64_t n, uint64_t file_bytes, sparse_status expected)
{
	unsigned char first[8];
	char		error[SPARSE_MESSAGE];
	uint64_t	header_bytes = 0;
	sparse_status status;

	put_length(first, n);
	status = sparse_safetensors_header_bytes(first, file_bytes, &header_bytes, error, sizeof error);
	return status == expected && (status == SPARSE_OK ? header_bytes == 8 + n : well_put(error));
}

/* Whether a message about a long name is cut at a character, whatever the buffer. */
static bool
messages_are_cut(void)
{
	char		json[400] = "{\"";
	char		error[SPARSE_MESSAGE];
	unsigned char header[410];
	size_t		bytes;
	sparse_layout parsed;

	for (int i = 0; i < 100; i++)
		strcat(json, "\xE2\x82\xAC");
	strcat(json, "\":1}");
	bytes = strlen(json);
	put_length(header, bytes);
	memcpy(header + 8, json, bytes);
	for (size_t room = 1; room <= sizeof error; room++)
	{
		memset(error, 'x', sizeof error);
		if (sparse_safetensors_parse(NULL, NULL, header, 8 + bytes, 8 + bytes, &parsed, error, room) != SPARSE_CORRUPT ||
			memchr(error, '\0', room) == NULL || !sparse_utf8_valid(error, strlen(error)))
			return false;
	}
	return strlen(error) < 120 && strstr(error, "...") != NULL &&
		sparse_safetensors_parse(NULL, NULL, header, 8 + bytes, 8 + bytes, &parsed, NULL, 0) == SPARSE_CORRUPT;
}

static void
test_refused(void)
{
	char	   *wide = many_dimensions(65);
	char	   *deep = nested(127);

	for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
		ok(refuses(refusals[i].json, refusals[i].data, refusals[i].words), refusals[i].sentence);
	ok(refuses_bytes("{}\0\0", 4, 0, "not JSON"), "zero bytes do not pad a header");
	ok(refuses(wide, 1, "more than 64 dimensions"), "65 dimensions are refused");
	ok(refuses(deep, 0, "deeper than 128 levels"), "129 levels of nesting are refused");
	ok(messages_are_cut(), "messages are cut at a character to the room there is");
	ok(bounded_by(2, 10, SPARSE_OK), "a header may end where the file ends");
	ok(bounded_by(2, 9, SPARSE_TRUNCATED), "a header past the end of the file is refused");
	ok(bounded_by(0, 7, SPARSE_TRUNCATED), "a file of less than 8 bytes is refused");
	ok(bounded_by(0, 8, SPARSE_CORRUPT), "an empty header is refused");
	ok(bounded_by(100000000, UINT64_MAX, SPARSE_OK), "a header of 100,000,000 bytes is allowed");
	ok(bounded_by(100000001, UINT64_MAX, SPARSE_TOO_LARGE), "a header of 100,000,001 bytes is refused");
	ok(bounded_by(UINT64_MAX, UINT64_MAX, SPARSE_TOO_LARGE), "a length of all ones is refused");
	free(wide);
	free(deep);
}

/* ---- abuse ---- */

static const char sample[] =
"{\"__metadata__\":{\"format\":\"pt\",\"n\\u00f6te\":\"\\ud83d\\ude00\"},"
"\"model.embed.weight\":{\"dtype\":\"BF16\",\"shape\":[16,8],\"data_offsets\":[0,256]},"
"\"model.norm\":{\"dtype\":\"F32\",\"shape\":[8],\"data_offsets\":[256,288],\"x\":[{\"y\":1}]},"
"\"empty\":{\"dtype\":\"I64\",\"shape\":[0,3],\"data_offsets\":[288,288]}}  ";

static void
parse_and_drop(const char *json, size_t bytes)
{
	sparse_layout parsed;
	char		error[SPARSE_MESSAGE];

	if (parse_bytes(NULL, json, bytes, 288, &parsed, error) == SPARSE_OK)
		sparse_layout_free(NULL, &parsed);
	else if (!well_put(error))
		ok(false, error);
}

static void
flip_every_bit(void)
{
	char		json[sizeof sample];

	memcpy(json, sample, sizeof sample);
	for (size_t bit = 0; bit < 8 * (sizeof sample - 1); bit++)
	{
		json[bit / 8] = (char) (json[bit / 8] ^ 1 << bit % 8);
		parse_and_drop(json, sizeof sample - 1);
		json[bit / 8] = (char) (json[bit / 8] ^ 1 << bit % 8);
	}
}

static bool
cuts_are_refused(void)
{
	sparse_layout parsed;
	char		error[SPARSE_MESSAGE];

	for (size_t bytes = 0; bytes < sizeof sample - 3; bytes++)
		if (parse_bytes(NULL, sample, bytes, 288, &parsed, error) == SPARSE_OK || !well_put(error))
			return false;
	return true;
}

static bool
survives_no_memory(void)
{
	counter		count = {0};
	sparse_allocator allocator = {count_allocate, count_release, &count};
	sparse_layout parsed;
	char		error[SPARSE_MESSAGE];
	sparse_status status = SPARSE_NO_MEMORY;
	long		fail_at;

	for (fail_at = 1; status == SPARSE_NO_MEMORY; fail_at++)
	{
		count = (counter) {.fail_at = fail_at};
		status = parse_bytes(&allocator, sample, sizeof sample - 1, 288, &parsed, error);
		if (status == SPARSE_NO_MEMORY && count.now != 0)
			return false;
	}
	sparse_layout_free(&allocator, &parsed);
	return status == SPARSE_OK && fail_at > 5 && count.now == 0;
}

/* ---- memory ---- */

typedef size_t (*generator) (char *json, size_t room, uint64_t *data);

/* As real headers are, at 20 MB of them. */
static size_t
many_tensors(char *json, size_t room, uint64_t *data)
{
	size_t		at = (size_t) sprintf(json, "{\"__metadata__\":{\"format\":\"pt\"}");
	uint64_t	byte = 0;

	for (int i = 0; at + 200 < room; i++, byte += 32)
		at += (size_t) sprintf(json + at, ",\"model.layers.%d.self_attn.q_proj.weight\":{\"dtype\":\"BF16\",\"shape\":[4,4],\"data_offsets\":[%llu,%llu]}",
							   i, (unsigned long long) byte, (unsigned long long) byte + 32);
	json[at++] = '}';
	*data = byte;
	return at;
}

/* Entries as short as they can be. */
static size_t
shortest_tensors(char *json, size_t room, uint64_t *data)
{
	size_t		at = 1;

	json[0] = '{';
	for (int i = 0; at + 200 < room; i++)
		at += (size_t) sprintf(json + at, "%s\"%x\":{\"dtype\":\"\",\"shape\":[],\"data_offsets\":[0,0]}", i ? "," : "", i);
	json[at++] = '}';
	*data = 0;
	return at;
}

/* Training notes in one long string that is escaped throughout. */
static size_t
one_long_string(char *json, size_t room, uint64_t *data)
{
	size_t		at = (size_t) sprintf(json, "{\"__metadata__\":{\"tags\":\"\\n");

	while (at + 100 < room)
		json[at++] = 'x';
	*data = 0;
	return at + (size_t) sprintf(json + at, "\\\"\"}}");
}

static size_t
many_pairs(char *json, size_t room, uint64_t *data)
{
	size_t		at = (size_t) sprintf(json, "{\"__metadata__\":{\"\":\"\"");

	for (int i = 0; at + 100 < room; i++)
		at += (size_t) sprintf(json + at, ",\"%x\":\"\"", i);
	*data = 0;
	return at + (size_t) sprintf(json + at, "}}");
}

/* 64 dimensions a tensor: eight bytes for every two of the header. */
static size_t
many_shapes(char *json, size_t room, uint64_t *data)
{
	size_t		at = 1;

	json[0] = '{';
	for (int i = 0; at + 300 < room; i++)
	{
		at += (size_t) sprintf(json + at, "%s\"%x\":{\"dtype\":\"U8\",\"data_offsets\":[0,0],\"shape\":[0", i ? "," : "", i);
		for (int j = 1; j < 64; j++)
			at += (size_t) sprintf(json + at, ",0");
		at += (size_t) sprintf(json + at, "]}");
	}
	json[at++] = '}';
	*data = 0;
	return at;
}

/* Keys that are all the same: refused, but only once all of them have been read. */
static size_t
many_twins(char *json, size_t room, uint64_t *data)
{
	size_t		at = (size_t) sprintf(json, "{\"__metadata__\":{\"\":\"\"");

	while (at + 100 < room)
		at += (size_t) sprintf(json + at, ",\"\":\"\"");
	*data = 0;
	return at + (size_t) sprintf(json + at, "}}");
}

/* Tensors in the opposite order of their bytes, which is sorted. */
static size_t
backwards(char *json, size_t room, uint64_t *data)
{
	size_t		at = 1;
	int			count = (int) (room / 90);

	json[0] = '{';
	for (int i = count; i-- > 0;)
		at += (size_t) sprintf(json + at, "\"%x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%d,%d]}%s",
							   i, i, i + 1, i > 0 ? "," : "}");
	*data = (uint64_t) count;
	return at;
}

/* Whether the parser's memory stays below `times` the header. */
static bool
stays_below(generator generate, size_t room, double times)
{
	char	   *json = malloc(room);
	counter		count = {0};
	sparse_allocator allocator = {count_allocate, count_release, &count};
	sparse_layout parsed;
	char		error[SPARSE_MESSAGE];
	uint64_t	data;
	size_t		bytes = generate(json, room, &data);
	sparse_status status = parse_bytes(&allocator, json, bytes, data, &parsed, error);
	sparse_status expected = generate == many_twins ? SPARSE_CORRUPT : SPARSE_OK;

	if (status == SPARSE_OK)
		sparse_layout_free(&allocator, &parsed);
	printf("# header %zu bytes, %s, at most %zu bytes: %.2f times\n", bytes, status ? error : "accepted",
		   count.most, (double) count.most / (double) bytes);
	free(json);
	return status == expected && count.now == 0 && (double) count.most < times * (double) bytes;
}

/* ---- interrupts ---- */

static bool
count_down(void *state)
{
	return --*(long *) state < 0;
}

/* Interrupts a parse at each of its questions in turn; returns how many there are, 0 on failure. */
static long
interrupts_everywhere(generator generate, size_t room)
{
	unsigned char *header = malloc(8 + room);
	uint64_t	data;
	size_t		bytes = generate((char *) header + 8, room, &data);
	counter		count = {0};
	sparse_allocator allocator = {count_allocate, count_release, &count};
	sparse_layout parsed;
	char		error[SPARSE_MESSAGE];
	sparse_status status = SPARSE_INTERRUPTED;
	long		asked = 0;

	put_length(header, bytes);
	for (; status == SPARSE_INTERRUPTED; asked++)
	{
		long		left = asked;
		sparse_interrupt interrupt = {count_down, &left};

		status = sparse_safetensors_parse(&allocator, &interrupt, header, 8 + bytes, 8 + bytes + data,
										  &parsed, error, sizeof error);
		if (status == SPARSE_INTERRUPTED && (count.now != 0 || !well_put(error)))
			break;
	}
	if (status == SPARSE_OK)
		sparse_layout_free(&allocator, &parsed);
	free(header);
	return status == SPARSE_OK && count.now == 0 ? asked - 1 : 0;
}

static void
test_abuse(void)
{
	flip_every_bit();
	ok(true, "a header with any bit flipped is parsed or refused in good order");
	ok(cuts_are_refused(), "a header cut anywhere is refused");
	ok(survives_no_memory(), "a failing allocation anywhere is reported, and nothing leaks");
	ok(stays_below(many_tensors, 20000000, 1.5), "an ordinary header of 20 MB takes less than 1.5 times its size");
	ok(stays_below(shortest_tensors, 3000000, 2), "the shortest entries take less than twice their size");
	ok(stays_below(one_long_string, 3000000, 3), "one long escaped string takes less than 3 times its size");
	ok(stays_below(many_pairs, 3000000, 3), "metadata of many short pairs takes less than 3 times its size");
	ok(stays_below(many_twins, 17000000, 2.5), "equal keys of the metadata take less than 2.5 times their size");
	ok(interrupts_everywhere(many_tensors, 300000) > 0, "a parse is interrupted wherever it asks, and nothing leaks");
	ok(interrupts_everywhere(many_pairs, 300000) > 0, "... with metadata");
	ok(interrupts_everywhere(backwards, 900000) > 0, "... and with tensors that must be sorted");
	ok(stays_below(many_shapes, 3000000, 3.5), "nothing takes more than 3.5 times its size");
}

int
main(void)
{
	test_accepted();
	test_refused();
	test_abuse();
	printf("1..%d\n", tests);
	return failures != 0;
}
