/*
 * commit.c: sparse_commit, which makes an uploaded version ready.
 *
 *   1. Nobody writes to it from here on (upload_lock).
 *   2. All chunks must be there.
 *   3. The files are read from their first byte to their last, as any reader would read
 *      them, under one snapshot; the SHA-256 of each file and of each staged object must be
 *      what was said.
 *   4. They must be whole: no pointer, no index of what is not there (whole.c).
 *   5. In the order of their SHA-256s, staged objects get theirs, or make way for those that
 *      others have stored meanwhile (store/stage.c).
 *   6. Where nothing was named and the name had no revision, what its sketch finds is to predict it (model/parents.c).
 *   7. What came in is coded by the best that an import of the files would find (store/recode.c), but where a client
 *      that sees as much has looked already.
 *   8. The version's counters make it ready.
 */
#include "postgres.h"
#include "compat.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "model/answer.h"
#include "model/hash.h"
#include "model/import.h"
#include "model/sketch.h"
#include "model/stored.h"
#include "store/place.h"
#include "store/recode.h"
#include "upload.h"
#include "whole.h"

PG_FUNCTION_INFO_V1(wire_commit);

#define CLAIMS_A_BATCH 1000

/* A staged object: what is said of it, and what was seen of it. */
typedef struct Claim
{
	int64		object;
	bool		settled;		/* its client has looked for predictions in all that the server would */
	bool		verified;
	bool		is_new;			/* and was not there before */
	uint8		sha256[SPARSE_SHA256_BYTES];
	StagedFigures figures;
} Claim;

typedef struct ClaimOfObject
{
	int64		object;
	int64		claim;			/* subscript */
} ClaimOfObject;

typedef struct Committing
{
	const Upload *upload;
	Import		import;			/* name, content and counters */
	VersionFile *file;

	int64		claims;			/* in the order of their SHA-256s */
	int64		room;
	Claim	   *claim;
	HTAB	   *by_object;

	ObjectReader *reader;
	Sketch	   *sketch;
	Sha256	   *file_sum;
	Sha256	   *object_sum;
	Checksum   *file_checksum;
	char	   *content;		/* of one chunk */
	uint64		content_room;
	bool		later;			/* there is more to look at than its client knew */
} Committing;

/* ---- what is staged ---- */

static StoreQuery claims_query = {
	.sql = "select s.object, s.sha256, s.declared and u.held"
	"  from sparse.staged s join sparse.upload u on u.version = s.version"
	" where s.version = $1 and s.sha256 > $2 order by s.sha256 limit $3",
	.args = 3, .arg = {INT8OID, BYTEAOID, INT8OID},
	.columns = 3, .column = {INT8OID, BYTEAOID, BOOLOID}};

static void
add_claim(Committing *committing, const SPITupleTable *rows, uint64 row)
{
	Claim	   *claim;
	ClaimOfObject *entry;

	if (committing->claims == committing->room)
	{
		committing->room *= 2;
		committing->claim = repalloc_huge(committing->claim, committing->room * sizeof(Claim));
	}
	claim = &committing->claim[committing->claims];
	memset(claim, 0, sizeof(*claim));
	claim->object = row_int64(rows, row, 1);
	row_sha256(rows, row, 2, claim->sha256);
	claim->settled = DatumGetBool(row_datum(rows, row, 3));
	entry = hash_search(committing->by_object, &claim->object, HASH_ENTER, NULL);
	entry->claim = committing->claims++;
}

static void
load_claims(Committing *committing)
{
	Datum		argument[3] = {Int64GetDatum(committing->upload->version.id),
		PointerGetDatum(cstring_to_text("")), Int64GetDatum(CLAIMS_A_BATCH)};
	uint64		count;

	do
	{
		SPITupleTable *rows;

		CHECK_FOR_INTERRUPTS();
		count = query_run(&claims_query, argument, NULL, true, &rows);
		for (uint64 i = 0; i < count; i++)
			add_claim(committing, rows, i);
		SPI_freetuptable(rows);
		if (count > 0)
			argument[1] = sha256_datum(committing->claim[committing->claims - 1].sha256);
	} while (count == CLAIMS_A_BATCH);
}

static Claim *
claim_of(const Committing *committing, int64 object)
{
	const ClaimOfObject *entry = hash_search(committing->by_object, &object, HASH_FIND, NULL);

	return entry == NULL ? NULL : &committing->claim[entry->claim];
}

/* ---- whether it is complete ---- */

static StoreQuery count_query = {
	.sql = "select count(*) from %s where object = $1",
	.args = 1, .arg = {INT8OID},
	.columns = 1, .column = {INT8OID}};

static uint64
chunks_missing(Committing *committing, const Claim *claim)
{
	Datum		argument = Int64GetDatum(claim->object);
	SPITupleTable *rows;
	ObjectInfo	info;
	uint64		chunks;
	uint64		here;

	if (!object_info(committing->reader, claim->object, &info))
		elog(ERROR, "staged object " INT64_FORMAT " is missing", claim->object);
	chunks = sparse_grid_chunks(&info.grid);
	query_run_at(&count_query, info.place, &argument, NULL, true, &rows);
	here = (uint64) row_int64(rows, 0, 1);
	SPI_freetuptable(rows);
	return chunks - Min(here, chunks);
}

/* The first chunk of a staged object that is missing; one is. */
static int32
first_missing(Committing *committing, const Claim *claim)
{
	StagedChunks *here = palloc0(sizeof(StagedChunks));
	StagedObject staged;
	int32		seq = 0;

	staged_find(committing->reader, claim->object, &staged);
	while (staged_has_chunk(&staged, here, seq))
	{
		CHECK_FOR_INTERRUPTS();
		seq++;
	}
	return seq;
}

static StoreQuery place_of_object_query = {
	.sql = "(select f.path, coalesce(t.name, '') from sparse.tensor t"
	"   join sparse.file f on f.version = t.version and f.ordinal = t.file"
	"  where t.object = $1 and t.version = $2 order by t.file, t.ordinal limit 1)"
	" union all (select f.path, '' from sparse.file f where f.object = $1 and f.version = $2 limit 1)",
	.args = 2, .arg = {INT8OID, INT8OID},
	.columns = 2, .column = {TEXTOID, TEXTOID}};

/* "tensor "x" of file "y"", for messages. */
static const char *
name_of_object(const Committing *committing, int64 object)
{
	Datum		argument[2] = {Int64GetDatum(object), Int64GetDatum(committing->upload->version.id)};
	SPITupleTable *rows;
	const char *path;
	const char *tensor;

	if (query_run(&place_of_object_query, argument, NULL, true, &rows) == 0)
		return psprintf("object " INT64_FORMAT, object);
	path = row_text(CurrentMemoryContext, rows, 0, 1);
	tensor = row_text(CurrentMemoryContext, rows, 0, 2);
	SPI_freetuptable(rows);
	return tensor[0] == '\0' ? psprintf("file \"%s\"", path)
		: psprintf("tensor \"%s\" of file \"%s\"", tensor, path);
}

static void
check_complete(Committing *committing)
{
	uint64		missing = 0;
	const Claim *first = NULL;

	for (int64 i = 0; i < committing->claims; i++)
	{
		uint64		of_this = chunks_missing(committing, &committing->claim[i]);

		CHECK_FOR_INTERRUPTS();
		if (of_this > 0 && first == NULL)
			first = &committing->claim[i];
		missing += of_this;
	}
	if (missing == 0)
		return;
	ereport(ERROR,
			errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			errmsg("version \"%s\" is not complete", committing->upload->label),
			errdetail(UINT64_FORMAT " chunks are missing, among them chunk %d of %s.", missing,
					  first_missing(committing, first),
					  name_of_object(committing, first->object)),
			errhint("sparse_layout() lists those that are wanted."));}

/* ---- whether it is what it was said to be ---- */

static void
make_room(Committing *committing, uint64 bytes)
{
	if (bytes <= committing->content_room)
		return;
	committing->content = repalloc_huge(committing->content, bytes);
	committing->content_room = bytes;
}

static void
check_object(const Committing *committing, const char *path, const char *tensor, Claim *claim)
{
	uint8		sha256[SPARSE_SHA256_BYTES];

	sha256_finish(committing->object_sum, sha256);
	if (memcmp(sha256, claim->sha256, SPARSE_SHA256_BYTES) != 0)
		ereport(ERROR,
				errcode(ERRCODE_DATA_CORRUPTED),
				errmsg("%s of version \"%s\" is not what it was said to be",
					   tensor == NULL ? psprintf("file \"%s\"", path)
					   : psprintf("tensor \"%s\" of file \"%s\"", tensor, path),
					   committing->upload->label),
				errdetail("Its SHA-256 is %s; said was %s.", sha256_text(sha256), sha256_text(claim->sha256)),
				errhint("Write its chunks again, or give the version up with sparse_abort()."));
	claim->verified = true;
}

/* Reads one chunk into the sums. */
static void
read_chunk(Committing *committing, const ObjectInfo *object, uint64 seq, Claim *claim)
{
	sparse_delta_info info;
	uint64		first;
	uint64		bytes;

	if (!sparse_grid_chunk(&object->grid, seq, &first, &bytes) || bytes > SPARSE_MAX_CONTENT)
		ereport(ERROR,
				errcode(ERRCODE_DATA_CORRUPTED),
				errmsg("object " INT64_FORMAT " is corrupt", object->id),
				errdetail("Its chunks are larger than the format allows."));
	make_room(committing, bytes);
	chunk_read(committing->reader, object, (int32) seq, committing->content, &info);
	sha256_add(committing->file_sum, committing->content, bytes);
	checksum_add(committing->file_checksum, committing->content, bytes);
	if (claim == NULL)
		return;
	sha256_add(committing->object_sum, committing->content, bytes);
	claim->figures.used[info.predictor] = true;
	for (int i = 0; i < info.refs; i++)
		claim->figures.parents_used |= UINT32_C(1) << info.ref[i].parent;
	claim->figures.stored_bytes += info.delta_bytes;
}

/* A piece of a literal, which was stored when the upload began. */
static void
read_piece(Committing *committing, const FilePart *part)
{
	for (uint64 done = 0; done < part->bytes;)
	{
		uint64		bytes = Min(PIECE_BYTES, part->bytes - done);

		CHECK_FOR_INTERRUPTS();
		make_room(committing, bytes);
		object_read(committing->reader, part->object, part->within + done, bytes, committing->content);
		sha256_add(committing->file_sum, committing->content, bytes);
		checksum_add(committing->file_checksum, committing->content, bytes);
		done += bytes;
	}
}

static void
read_part(Committing *committing, const VersionFile *file, const FilePart *part)
{
	Claim	   *claim = claim_of(committing, part->object);
	ObjectInfo	info;
	uint64		chunks;

	if (claim != NULL && claim->verified)
		claim = NULL;
	object_reader_context(committing->reader, committing->upload->label, file->path, part->tensor);
	part_object(committing->reader, committing->upload->label, file, part, &info);
	if (part_is_piece(file, part))
	{
		read_piece(committing, part);
		return;
	}
	chunks = sparse_grid_chunks(&info.grid);
	sha256_reset(committing->object_sum);
	for (uint64 seq = 0; seq < chunks; seq++)
	{
		CHECK_FOR_INTERRUPTS();
		read_chunk(committing, &info, seq, claim);
	}
	if (claim != NULL)
		check_object(committing, file->path, part->tensor, claim);
}

static void
check_file(Committing *committing, const VersionFile *file)
{
	uint8		sha256[SPARSE_SHA256_BYTES];

	sha256_finish(committing->file_sum, sha256);
	if (memcmp(sha256, file->sha256, SPARSE_SHA256_BYTES) != 0)
		ereport(ERROR,
				errcode(ERRCODE_DATA_CORRUPTED),
				errmsg("file \"%s\" of version \"%s\" is not what it was said to be",
					   file->path, committing->upload->label),
				errdetail("Its SHA-256 is %s; said was %s.", sha256_text(sha256), sha256_text(file->sha256)),
				errhint("Its tensors are what they were said to be: begin the version with the right SHA-256 of the file."));}

static StoreQuery checksum_query = {
	.sql = "update sparse.file set checksum = $3 where version = $1 and ordinal = $2",
	.args = 3, .arg = {INT8OID, INT4OID, BYTEAOID}};

static void
keep_checksum(Committing *committing, const VersionFile *file)
{
	Datum		argument[3] = {Int64GetDatum(committing->upload->version.id), Int32GetDatum(file->ordinal)};
	uint8		checksum[SPARSE_CHECKSUM_BYTES];

	checksum_finish(committing->file_checksum, file->sha256, checksum);
	answer_connect();
	argument[2] = checksum_datum(checksum);
	query_run(&checksum_query, argument, NULL, false, NULL);
	answer_finish();
}

/* Each part within an SPI connection of its own: what it leaves behind is gone with it. */
static void
read_file(Committing *committing, const VersionFile *file)
{
	PartReader *parts = parts_open(CurrentMemoryContext, committing->upload->version.id, file, 0);
	FilePart	part;
	bool		more = true;

	sha256_reset(committing->file_sum);
	checksum_reset(committing->file_checksum);
	while (more)
	{
		CHECK_FOR_INTERRUPTS();
		answer_connect();
		more = parts_next(parts, &part);
		if (more)
			read_part(committing, file, &part);
		answer_finish();
	}
	check_file(committing, file);
	keep_checksum(committing, file);
}

/* ---- publishing ---- */

static StoreQuery repoint_queries[] = {
	{.sql = "update sparse.tensor set object = $3 where version = $1 and object = $2",
	.args = 3, .arg = {INT8OID, INT8OID, INT8OID}},
	{.sql = "update sparse.file set object = $3 where version = $1 and object = $2",
	.args = 3, .arg = {INT8OID, INT8OID, INT8OID}}
};

static void
publish(Committing *committing, Claim *claim)
{
	Import	   *import = &committing->import;
	Datum		argument[3] = {Int64GetDatum(import->version), Int64GetDatum(claim->object)};
	StagedObject staged;
	ObjectResult result;

	if (!claim->verified)
		ereport(ERROR,
				errcode(ERRCODE_DATA_CORRUPTED),
				errmsg("staged object " INT64_FORMAT " is in no file of version \"%s\"",
					   claim->object, committing->upload->label));
	if (!staged_find(committing->reader, claim->object, &staged))
		elog(ERROR, "staged object " INT64_FORMAT " is missing", claim->object);
	staged_publish(committing->reader, &staged, claim->sha256, &claim->figures, &result);
	claim->is_new = !result.existed;
	if (claim->is_new)
	{
		import->new_objects++;
		import->new_bytes += (int64) staged.info.bytes;
		import->stored_bytes += (int64) result.stored_bytes;
		return;
	}
	argument[2] = Int64GetDatum(result.id);
	for (int i = 0; i < (int) lengthof(repoint_queries); i++)
		query_run(&repoint_queries[i], argument, NULL, false, NULL);
}

static void
publish_all(Committing *committing)
{
	for (int64 i = 0; i < committing->claims; i++)
	{
		CHECK_FOR_INTERRUPTS();
		answer_connect();
		publish(committing, &committing->claim[i]);
		answer_finish();
	}
}

/* ---- better predictions ---- */

typedef struct Proposal
{
	const Import *import;
	const PlanObject *object;
} Proposal;

static void
propose(void *state, ObjectReader *reader, ObjectSpec *spec)
{
	const Proposal *proposal = state;

	stored_propose(proposal->import, reader, proposal->object, spec);
}

static StoreQuery unfound_query = {
	.sql = "delete from sparse.found_parent where version = $1",
	.args = 1, .arg = {INT8OID}};

/* What was found but is of no use is not kept. `stored` is the version as it is now. */
static void
check_found(Committing *committing, const Import *stored)
{
	Import	   *import = &committing->import;
	Datum		argument = Int64GetDatum(import->version);
	ImportPlan *declared = import->plan;

	if (import->parents == 0)
		return;
	import->plan = stored->plan;
	import_check_found(import);
	import->plan = declared;
	if (import->parents == 0)
		query_run(&unfound_query, &argument, NULL, false, NULL);
}

static void
improve(Committing *committing, const Import *stored, const PlanObject *object)
{
	Proposal	proposal = {stored, object};
	RecodeSpec	spec = {
		.object = object->id, .row_bytes = object->row_bytes, .max_depth = sparse_max_chain_depth,
		.at_most = PG_UINT64_MAX, .propose = propose, .propose_state = &proposal, .version = stored->version
	};
	RecodeResult result;

	(void) object_recode(&spec, &result);
	committing->import.stored_bytes += (int64) result.bytes_after - (int64) result.bytes_before;
}

/* Each within an SPI connection of its own. */
static void
improve_all(Committing *committing)
{
	MemoryContext context = CurrentMemoryContext;
	const PlanObject **object;
	Import	   *stored;
	uint64		count;

	answer_connect();
	stored = stored_import(&committing->upload->version, context);
	stored->neighbours = committing->import.neighbours;
	memcpy(stored->neighbour, committing->import.neighbour, sizeof(stored->neighbour));
	object = stored_objects(stored, context, &count);
	answer_finish();
	for (uint64 i = 0; i < count && stored->parents > 0; i++)
	{
		const Claim *claim = claim_of(committing, object[i]->id);

		CHECK_FOR_INTERRUPTS();
		if (claim == NULL || !claim->is_new)
			continue;
		/* (of a parent that was found just now the client knew nothing) */
		if (claim->settled && committing->import.parents == 0)
		{
			committing->later |= stored->neighbours > 0;
			continue;
		}
		answer_connect();
		improve(committing, stored, object[i]);
		answer_finish();
	}
	answer_connect();
	check_found(committing, stored);
	answer_finish();
}

/* ---- the end of it ---- */

static StoreQuery end_upload = {
	.sql = "delete from sparse.upload where version = $1"
	" returning new_objects, new_bytes, stored_bytes",
	.args = 1, .arg = {INT8OID},
	.columns = 3, .column = {INT4OID, INT8OID, INT8OID}};

/* The upload is over; what was stored when it began is added to the version's counters. */
static void
finish_upload(Committing *committing)
{
	Import	   *import = &committing->import;
	Datum		argument = Int64GetDatum(import->version);
	SPITupleTable *rows;

	answer_connect();
	if (query_run(&end_upload, &argument, NULL, false, &rows) != 1)
	{
		query_forget(&end_upload);
		ereport(ERROR,
				errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				errmsg("could not commit version \"%s\" because of concurrent updates",
					   committing->upload->label),
				errhint("Commit it again."));
	}
	import->new_objects += row_int32(rows, 0, 1);
	import->new_bytes += row_int64(rows, 0, 2);
	import->stored_bytes += row_int64(rows, 0, 3);
	import_make_ready(import);
	(void) sketch_keep(import->version, committing->sketch);
	if (!sparse_optimize_commits || sparse_effort < 2 || committing->later)
		import_note_unoptimized(import->version);
	answer_finish();
}

/* ---- the function ---- */

static StoreQuery tensors_query = {
	.sql = "select count(*)::integer from sparse.tensor where version = $1 and file = $2",
	.args = 2, .arg = {INT8OID, INT4OID},
	.columns = 1, .column = {INT4OID}};

/* What the rows say that was declared: the files, and how many tensors each has. */
static ImportPlan *
plan_of_rows(Committing *committing)
{
	MemoryContext context = CurrentMemoryContext;
	ImportPlan *plan = palloc0(sizeof(ImportPlan));

	answer_connect();
	plan->files = version_files(context, committing->upload->version.id, &committing->file);
	plan->file = MemoryContextAllocZero(context, Max(plan->files, 1) * sizeof(PlanFile));
	for (int i = 0; i < plan->files; i++)
	{
		Datum		argument[2] = {Int64GetDatum(committing->upload->version.id), Int32GetDatum(i)};
		SPITupleTable *rows;

		query_run(&tensors_query, argument, NULL, true, &rows);
		plan->file[i].path = committing->file[i].path;
		plan->file[i].bytes = committing->file[i].bytes;
		plan->file[i].tensors = (uint32) row_int32(rows, 0, 1);
		memcpy(plan->file[i].sha256, committing->file[i].sha256, SPARSE_SHA256_BYTES);
		SPI_freetuptable(rows);
	}
	answer_finish();
	plan_identity(plan, committing->file_sum);
	return plan;
}

static void
prepare(Committing *committing, const Upload *upload)
{
	HASHCTL		control = {.keysize = sizeof(int64), .entrysize = sizeof(ClaimOfObject), .hcxt = CurrentMemoryContext};
	StoreAccess access;

	committing->upload = upload;
	committing->file_sum = sha256_create(CurrentMemoryContext);
	committing->object_sum = sha256_create(CurrentMemoryContext);
	committing->file_checksum = checksum_create(CurrentMemoryContext);
	committing->content_room = PIECE_BYTES;
	committing->content = palloc(PIECE_BYTES);
	committing->reader = object_reader_create(CurrentMemoryContext, true);
	committing->by_object = hash_create("sparse claims", 256, &control,
										HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	committing->room = 256;
	committing->claim = palloc(committing->room * sizeof(Claim));
	committing->import.name = upload->version.name;
	committing->import.version = upload->version.id;
	committing->import.revision = upload->version.revision;
	store_enter(&access);
	committing->import.plan = plan_of_rows(committing);
	store_leave(&access);
}

/* As the store's owner. */
static void
verify(Committing *committing)
{
	answer_connect();
	load_claims(committing);
	check_complete(committing);
	answer_finish();
	for (int i = 0; i < committing->import.plan->files; i++)
		read_file(committing, &committing->file[i]);
	upload_check_whole(committing->upload, committing->file, committing->import.plan->files, committing->reader);
	answer_connect();
	committing->sketch = MemoryContextAlloc(GetMemoryChunkContext(committing->content), sizeof(Sketch));
	sketch_of_version(committing->import.version, true, committing->sketch);
	answer_finish();
}

static StoreQuery finds_query = {
	.sql = "select u.find_parent from sparse.upload u where u.version = $1",
	.args = 1, .arg = {INT8OID},
	.columns = 1, .column = {BOOLOID}};

/* Whether its sketch is to find what it is predicted from, as was decided when it was begun. */
static bool
finds_parent(int64 version)
{
	Datum		argument = Int64GetDatum(version);
	StoreAccess access;
	SPITupleTable *rows;
	bool		finds;

	store_enter(&access);
	answer_connect();
	finds = query_run(&finds_query, &argument, NULL, true, &rows) > 0 && DatumGetBool(row_datum(rows, 0, 1));
	answer_finish();
	store_leave(&access);
	return finds;
}

/* The caller decides by what he can see what is found. Held, it is not collected meanwhile. */
static void
find_parent(Committing *committing)
{
	Import	   *import = &committing->import;

	if (!finds_parent(import->version))
		return;
	import->find = SPARSE_FIND_ALL;
	import_find_parent_by(import, committing->sketch, true);
	if (import->parents > 0)
		versions_hold(&import->parent[0].version.id, 1);
}

/* The caller decides by what he can see what is near the parents, too. */
static void
find_neighbours(Committing *committing)
{
	Import	   *import = &committing->import;
	Import		declared = {.version = import->version, .parents = import->parents, .parent = import->parent};
	StoreAccess access;

	if (!sparse_optimize_commits)
		return;
	if (declared.parents == 0)
	{
		MemoryContext context = CurrentMemoryContext;

		store_enter(&access);
		answer_connect();
		stored_load_parents(&declared, context);
		answer_finish();
		store_leave(&access);
	}
	import_find_neighbours(&declared);
	import->neighbours = declared.neighbours;
	memcpy(import->neighbour, declared.neighbour, sizeof(import->neighbour));
}

static StoreQuery family_query = {
	.sql = "update sparse.version set family = $2 where id = $1 and state = 'open'",
	.args = 2, .arg = {INT8OID, INT8OID}};

/* As the store's owner. Kin are of one family. */
static void
publish_and_improve(Committing *committing)
{
	Import	   *import = &committing->import;

	publish_all(committing);
	if (import->parents > 0)
	{
		Datum		argument[2] = {Int64GetDatum(import->version), Int64GetDatum(import->parent[0].version.family)};

		answer_connect();
		query_run(&family_query, argument, NULL, false, NULL);
		import_insert_parents(import);
		answer_finish();
	}
	if (sparse_optimize_commits)
		improve_all(committing);
	finish_upload(committing);
}

static StoreQuery named_query = {
	.sql = "select p.parent, p.role from sparse.parent p where p.child = $1 and p.source = 'named' order by p.ordinal",
	.args = 1, .arg = {INT8OID},
	.columns = 2, .column = {INT8OID, TEXTOID}};

/* The parents that the upload was begun with. As the store's owner, within SPI_connect. */
static void
load_named(Import *import, MemoryContext context)
{
	Datum		argument = Int64GetDatum(import->version);
	SPITupleTable *rows;
	uint64		count = query_run(&named_query, &argument, NULL, true, &rows);

	import->parent = MemoryContextAllocZero(context, (count + 1) * sizeof(ImportParent));
	for (uint64 i = 0; i < count; i++)
	{
		import->parent[i].version.id = row_int64(rows, i, 1);
		import->parent[i].role = row_text(context, rows, i, 2);
	}
	import->parents = (int) count;
}

/* Leaves those that the caller can still read. */
static void
resolve_named(Import *import)
{
	int64	   *id = palloc((import->parents + 1) * sizeof(int64));
	bool	   *readable = palloc((import->parents + 1) * sizeof(bool));
	int			count = 0;

	for (int i = 0; i < import->parents; i++)
		id[i] = import->parent[i].version.id;
	versions_readable(id, import->parents, true, readable);
	for (int i = 0; i < import->parents; i++)
	{
		if (!readable[i])
			continue;
		import->parent[count] = import->parent[i];
		version_from_id(id[i], false, &import->parent[count++].version);
	}
	import->parents = count;
}

/* The upload was in vain, for its content is there meanwhile; but for the parents that were named with it. */
static void
commit_same(Committing *committing, int64 same)
{
	Import	   *import = &committing->import;
	MemoryContext context = CurrentMemoryContext;
	StoreAccess access;

	store_enter(&access);
	answer_connect();
	load_named(import, context);
	upload_remove(import->version);
	answer_finish();
	store_leave(&access);
	resolve_named(import);
	import_add_parents(import, same);
}

static int64
commit_upload(Upload *upload)
{
	Committing	committing = {0};
	StoreAccess access;
	int64		same;

	upload_push_snapshot();
	prepare(&committing, upload);
	same = import_find_same(&committing.import, true);
	if (same != 0)
	{
		commit_same(&committing, same);
		PopActiveSnapshot();
		return same;
	}
	store_enter(&access);
	verify(&committing);
	store_leave(&access);
	find_parent(&committing);
	find_neighbours(&committing);
	store_enter(&access);
	publish_and_improve(&committing);
	store_leave(&access);
	PopActiveSnapshot();
	return upload->version.id;
}

/* sparse_commit(version) */
Datum
wire_commit(PG_FUNCTION_ARGS)
{
	Upload		upload;
	const char *name;

	upload_of_argument(fcinfo, 0, "commit", false, &upload);
	if (!upload.under_way)
		PG_RETURN_INT64(upload.version.id);
	name = upload.version.name;
	import_lock_name(name);
	if (!upload_lock(&upload, UPLOAD_EXCLUSIVE))
		PG_RETURN_INT64(upload.version.id);
	if (strcmp(name, upload.version.name) != 0)
		ereport(ERROR,
				errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				errmsg("version \"%s\" was renamed to \"%s\" just now", name, upload.version.name),
				errhint("Commit it again."));
	PG_RETURN_INT64(commit_upload(&upload));
}
