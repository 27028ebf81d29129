/*
 * complaint.h: why a plan is refused, in words for whoever asked: a message that names
 * the file, and what can be done.
 */
#ifndef SPARSE_PLAN_COMPLAINT_H
#define SPARSE_PLAN_COMPLAINT_H

#include "codec/message.h"
#include "codec/status.h"

#define SPARSE_COMPLAINT 1024

typedef struct sparse_complaint
{
	char		message[SPARSE_COMPLAINT];	/* on one line; of names in the shell's encoding and in UTF-8 */
	const char *hint;			/* static, a sentence; NULL: none */
} sparse_complaint;

/* Leaves the message in `complaint`. Always SPARSE_CORRUPT. */
#define SPARSE_REFUSE(complaint, words, ...) \
	((void) sparse_complain((complaint)->message, sizeof (complaint)->message, __VA_ARGS__), \
	 (complaint)->hint = (words), SPARSE_CORRUPT)

#endif
