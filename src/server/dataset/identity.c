/*
 * identity.c: what a dataset version is known by.
 *
 * The identity of the content is the SHA-256 of, for each split in the order of their
 * names: its name, its rows (u64), its columns (u32), of each its name, type and
 * structure and the SHA-256 of its values (sparse.column), and its key: their number
 * (u32), then the number of each column (u32). Integers are little-endian, texts are
 * their length in bytes (u32) and the bytes, in UTF-8 (store/encoding.h). It does not depend on how the columns
 * are cut.
 */
#include "postgres.h"

#include "store/encoding.h"

#include "dataset.h"

struct Identity
{
	Sha256	   *sum;
	bool		as_it_is;
};

static void
add_integer(Identity *identity, uint64 value, int bytes)
{
	uint8		little_endian[8];

	for (int i = 0; i < bytes; i++)
		little_endian[i] = (uint8) (value >> (8 * i));
	sha256_add(identity->sum, little_endian, bytes);
}

static void
add_text(Identity *identity, const char *text)
{
	size_t		length = strlen(text);
	const char *kept = identity->as_it_is ? text : text_to_kept(text, length, &length);

	add_integer(identity, length, 4);
	sha256_add(identity->sum, kept, length);
}

Identity *
identity_begin(MemoryContext context, bool as_it_is)
{
	Identity   *identity = MemoryContextAlloc(context, sizeof(Identity));

	identity->sum = sha256_create(context);
	identity->as_it_is = as_it_is;
	return identity;
}

void
identity_add_split(Identity *identity, const char *name, int64 rows, int columns)
{
	add_text(identity, name);
	add_integer(identity, rows, 8);
	add_integer(identity, columns, 4);
}

void
identity_add_column(Identity *identity, const char *name, const char *type, const char *structure,
					const uint8 sha256[SPARSE_SHA256_BYTES])
{
	add_text(identity, name);
	add_text(identity, type);
	add_text(identity, structure);
	sha256_add(identity->sum, sha256, SPARSE_SHA256_BYTES);
}

void
identity_add_key(Identity *identity, int keys, const int16 *key)
{
	add_integer(identity, keys, 4);
	for (int i = 0; i < keys; i++)
		add_integer(identity, key[i], 4);
}

void
identity_finish(Identity *identity, uint8 digest[SPARSE_SHA256_BYTES])
{
	sha256_finish(identity->sum, digest);
}
