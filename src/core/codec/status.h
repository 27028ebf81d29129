/*
 * status.h: what a codec function says of its work.
 *
 * The codec never prints, never exits and never unwinds. Every function that can
 * fail returns a sparse_status; on anything but SPARSE_OK its outputs are not to
 * be read. The glue above turns a status into an ereport, the command line into
 * a line on standard error.
 */
#ifndef SPARSE_CODEC_STATUS_H
#define SPARSE_CODEC_STATUS_H

typedef enum sparse_status
{
	SPARSE_OK = 0,
	SPARSE_NO_MEMORY,			/* the allocator returned NULL */
	SPARSE_BAD_ARGUMENT,		/* the caller's sizes do not fit each other */
	SPARSE_TOO_LARGE,			/* more than SPARSE_MAX_CONTENT, or a size overflows */
	SPARSE_GIVEN_UP,			/* format 0, of which there was no release */
	SPARSE_NEWER_VERSION,		/* a format version that this library does not know yet */
	SPARSE_TRUNCATED,			/* the bytes end before what they announce */
	SPARSE_CORRUPT,				/* the bytes contradict the format */
	SPARSE_WRONG_PREDICTION,	/* not the prediction the delta was made against */
	SPARSE_WRONG_CONTENT,		/* decoded, but the content's checksum differs */
	SPARSE_INTERRUPTED			/* the caller's sparse_interrupt said so */
} sparse_status;

/* A static, lower-case sentence without a full stop; never NULL. */
extern const char *sparse_status_text(sparse_status status);

/* Hand a failure on to the caller. */
#define SPARSE_TRY(call) \
	do { \
		sparse_status try_status_ = (call); \
		if (try_status_ != SPARSE_OK) \
			return try_status_; \
	} while (0)

/* Refuse stored bytes that break a rule of the format. */
#define SPARSE_CHECK(cond) \
	do { \
		if (!(cond)) \
			return SPARSE_CORRUPT; \
	} while (0)

#endif
