/*
 * hash.c: sums over content that arrives in pieces (see hash.h).
 *
 * With OpenSSL a hash context belongs to a resource owner, which would free it at
 * the end of a (sub)transaction behind our back while the memory context still
 * points to it; without, it lies in the memory context that is current when it is
 * made. Each sum therefore has a resource owner of its own, without a parent, and
 * is made in the memory context it belongs to: it lives exactly as long as that.
 */
#include "postgres.h"

#define XXH_STATIC_LINKING_ONLY		/* the size of a state */
#include <xxhash.h>

#include "common/cryptohash.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "hash.h"

struct Sha256
{
	pg_cryptohash_ctx *sum;
	ResourceOwner owner;
	MemoryContextCallback release;
};

static void
check(int result)
{
	if (result < 0)
		elog(ERROR, "could not compute SHA-256");
}

static void
release(void *argument)
{
	Sha256	   *sha256 = argument;

	if (sha256->sum != NULL)
		pg_cryptohash_free(sha256->sum);
	ResourceOwnerDelete(sha256->owner);
}

static pg_cryptohash_ctx *
create_in(MemoryContext context, ResourceOwner owner)
{
	MemoryContext previous = MemoryContextSwitchTo(context);
	ResourceOwner current = CurrentResourceOwner;
	pg_cryptohash_ctx *sum;

	/* whoever catches an error ends a subtransaction, which sets it as well */
	CurrentResourceOwner = owner;
	sum = pg_cryptohash_create(PG_SHA256);
	CurrentResourceOwner = current;
	MemoryContextSwitchTo(previous);
	return sum;
}

Sha256 *
sha256_create(MemoryContext context)
{
	Sha256	   *sha256 = MemoryContextAllocZero(context, sizeof(Sha256));

	sha256->owner = ResourceOwnerCreate(NULL, "sparse SHA-256");
	sha256->release.func = release;
	sha256->release.arg = sha256;
	MemoryContextRegisterResetCallback(context, &sha256->release);
	sha256->sum = create_in(context, sha256->owner);
	sha256_reset(sha256);
	return sha256;
}

void
sha256_reset(Sha256 *sha256)
{
	check(pg_cryptohash_init(sha256->sum));
}

void
sha256_add(Sha256 *sha256, const void *data, size_t bytes)
{
	check(pg_cryptohash_update(sha256->sum, data, bytes));
}

void
sha256_finish(Sha256 *sha256, uint8 digest[SPARSE_SHA256_BYTES])
{
	check(pg_cryptohash_final(sha256->sum, digest, SPARSE_SHA256_BYTES));
}

struct Checksum
{
	XXH3_state_t state;
};

/* xxHash wants its state aligned to a cache line. */
Checksum *
checksum_create(MemoryContext context)
{
	char	   *memory = MemoryContextAlloc(context, sizeof(Checksum) + 63);
	Checksum   *checksum = (Checksum *) TYPEALIGN(64, memory);

	checksum_reset(checksum);
	return checksum;
}

void
checksum_reset(Checksum *checksum)
{
	XXH3_128bits_reset(&checksum->state);
}

void
checksum_add(Checksum *checksum, const void *data, size_t bytes)
{
	XXH3_128bits_update(&checksum->state, data, bytes);
}

void
checksum_finish(Checksum *checksum, const uint8 sha256[SPARSE_SHA256_BYTES],
				uint8 digest[SPARSE_CHECKSUM_BYTES])
{
	XXH128_canonical_t canonical;

	checksum_add(checksum, sha256, SPARSE_SHA256_BYTES);
	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&checksum->state));
	memcpy(digest, canonical.digest, SPARSE_CHECKSUM_BYTES);
}

char *
sha256_text(const uint8 digest[SPARSE_SHA256_BYTES])
{
	static const char digits[] = "0123456789abcdef";
	char	   *text = palloc(2 * SPARSE_SHA256_BYTES + 1);

	for (int i = 0; i < SPARSE_SHA256_BYTES; i++)
	{
		text[2 * i] = digits[digest[i] >> 4];
		text[2 * i + 1] = digits[digest[i] & 15];
	}
	text[2 * SPARSE_SHA256_BYTES] = '\0';
	return text;
}
