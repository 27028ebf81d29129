/*
 * input.h: a delta file that is read.
 *
 * Couples a source with the reader of its records. All failures end the program:
 * what is wrong with the file by STATUS_DAMAGED.
 */
#ifndef SPARSE_CLIENT_INPUT_H
#define SPARSE_CLIENT_INPUT_H

#include <stdio.h>

#include "files.h"

typedef struct input
{
	source		file;
	FILE	   *stream;
	deltafile_reader *reader;
} input;

/* Opens a delta file and reads its head. */
extern void input_open(input *in, const char *path);

/* deltafile_read_next, which does not return DELTAFILE_FAILED. */
extern deltafile_next input_next(input *in);

/* Back to the first part. */
extern void input_rewind(input *in);

extern void input_close(input *in);

/* What is to be done about a damaged delta file. */
extern const char input_damaged_hint[];

#endif
