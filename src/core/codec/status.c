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
			return "of format 0, which was given up before the first release, or no delta";
		case SPARSE_NEWER_VERSION:
			return "of a format that a newer version of sparse has made, or no delta";
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
