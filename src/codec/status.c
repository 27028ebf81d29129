/*
 * status.c: the words for each status.
 */
#include "status.h"

const char *
sparse_status_text(sparse_status status)
{
	switch (status)
	{
		case SPARSE_OK:
			return "success";
		case SPARSE_NO_MEMORY:
			return "out of memory";
		case SPARSE_BAD_ARGUMENT:
			return "sizes or types do not fit each other";
		case SPARSE_TOO_LARGE:
			return "larger than the format allows";
		case SPARSE_GIVEN_UP:
			return "format 0 was given up before the first release";
		case SPARSE_NEWER_VERSION:
			return "not a format that this version of sparse knows: it was made by a newer one, or is no delta";
		case SPARSE_TRUNCATED:
			return "delta is truncated";
		case SPARSE_CORRUPT:
			return "delta is corrupt";
		case SPARSE_WRONG_PREDICTION:
			return "delta was made against another prediction";
		case SPARSE_WRONG_CONTENT:
			return "checksum of the decoded content does not match";
		case SPARSE_INTERRUPTED:
			return "interrupted";
	}
	return "unknown status";
}
