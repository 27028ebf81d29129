/*
 * digest.c: the first pass of an import, over all bytes: SHA-256 of each file and
 * of each object, a checksum of each object, and the identity of the whole.
 *
 * The identity of a version's content is the SHA-256 of, for each file in order of
 * path (compared byte by byte, in UTF-8):
 *
 *      u32  length of the path in bytes, little-endian
 *           the path, in UTF-8 (store/encoding.h)
 *      u64  size of the file, little-endian
 *      32   SHA-256 of the file
 */
#include "postgres.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "miscadmin.h"

#include "hash.h"
#include "plan.h"
#include "store/encoding.h"

typedef struct Digester
{
	ImportPlan *plan;
	Sha256	   *file_sum;
	Sha256	   *object_sum;
	Checksum   *file_checksum;
	char	   *piece;			/* PIECE_BYTES */
} Digester;

/* An object's bytes; in_order: they are the next of its file, too. */
static void
digest_object(Digester *digester, const PlanFile *file, PlanObject *object, bool in_order)
{
	XXH3_state_t checksum = {0};

	XXH3_64bits_reset_withSeed(&checksum, digester->plan->seed);
	sha256_reset(digester->object_sum);
	for (uint64 done = 0; done < object->bytes;)
	{
		uint64		bytes = Min(PIECE_BYTES, object->bytes - done);

		CHECK_FOR_INTERRUPTS();
		plan_read(file, object, done, bytes, digester->piece);
		sha256_add(digester->object_sum, digester->piece, bytes);
		if (in_order && file->kind != SPARSE_FILE_BYTES)
			sha256_add(digester->file_sum, digester->piece, bytes);
		if (in_order)
			checksum_add(digester->file_checksum, digester->piece, bytes);
		XXH3_64bits_update(&checksum, digester->piece, bytes);
		done += bytes;
	}
	sha256_finish(digester->object_sum, object->sha256);
	object->checksum = XXH3_64bits_digest(&checksum);
}

/* All bytes of a file whose objects do not follow each other. */
static void
digest_whole(Digester *digester, const PlanFile *file)
{
	for (uint64 done = 0; done < file->bytes;)
	{
		uint64		bytes = Min(PIECE_BYTES, file->bytes - done);

		CHECK_FOR_INTERRUPTS();
		source_read(file->source, done, bytes, digester->piece);
		sha256_add(digester->file_sum, digester->piece, bytes);
		checksum_add(digester->file_checksum, digester->piece, bytes);
		done += bytes;
	}
}

static void
digest_file(Digester *digester, PlanFile *file)
{
	bool		in_order = file->literal.gaps == 0;

	sha256_reset(digester->file_sum);
	checksum_reset(digester->file_checksum);
	digest_object(digester, file, &file->object, in_order);
	for (uint32 i = 0; i < file->tensors; i++)
		digest_object(digester, file, &file->tensor[i].object, in_order);
	if (!in_order)
		digest_whole(digester, file);
	if (file->kind != SPARSE_FILE_BYTES)
		sha256_finish(digester->file_sum, file->sha256);
	else
		memcpy(file->sha256, file->object.sha256, SPARSE_SHA256_BYTES);
	checksum_finish(digester->file_checksum, file->sha256, file->checksum);
	file->summed = true;
}

static void
add_integer(Sha256 *sum, uint64 value, int bytes)
{
	uint8		little_endian[8];

	for (int i = 0; i < bytes; i++)
		little_endian[i] = (uint8) (value >> (8 * i));
	sha256_add(sum, little_endian, bytes);
}

/* The path as it is kept already. */
static void
add_file(Sha256 *identity, const char *path, size_t length, uint64 bytes, const uint8 sha256[SPARSE_SHA256_BYTES])
{
	add_integer(identity, length, 4);
	sha256_add(identity, path, length);
	add_integer(identity, bytes, 8);
	sha256_add(identity, sha256, SPARSE_SHA256_BYTES);
}

void
identity_add_file(Sha256 *identity, const char *path, uint64 bytes,
				  const uint8 sha256[SPARSE_SHA256_BYTES])
{
	size_t		length;
	const char *kept = text_to_kept(path, strlen(path), &length);

	add_file(identity, kept, length, bytes, sha256);
}

void
plan_identity(ImportPlan *plan, Sha256 *identity)
{
	sha256_reset(identity);
	for (int i = 0; i < plan->files; i++)
		identity_add_file(identity, plan->file[i].path, plan->file[i].bytes, plan->file[i].sha256);
	sha256_finish(identity, plan->content_sha256);
}

void
version_identity(Sha256 *identity, const VersionFile *file, int files, bool as_it_is, uint8 digest[SPARSE_SHA256_BYTES])
{
	sha256_reset(identity);
	for (int i = 0; i < files; i++)
		if (as_it_is)
			add_file(identity, file[i].path, strlen(file[i].path), file[i].bytes, file[i].sha256);
		else
			identity_add_file(identity, file[i].path, file[i].bytes, file[i].sha256);
	sha256_finish(identity, digest);
}

void
plan_digest(ImportPlan *plan)
{
	Digester	digester = {plan,
		sha256_create(CurrentMemoryContext),
		sha256_create(CurrentMemoryContext),
		checksum_create(CurrentMemoryContext),
	palloc(PIECE_BYTES)};

	for (int i = 0; i < plan->files; i++)
		digest_file(&digester, &plan->file[i]);
	plan_identity(plan, digester.file_sum);
	pfree(digester.piece);
}
