/*
 * input.c: opens and reads a delta file (see input.h).
 */
#include "input.h"

#include "client.h"

const char	input_damaged_hint[] = "Get the delta file again; nothing was written.";

static size_t
get_bytes(void *state, void *bytes, size_t length)
{
	return fread(bytes, 1, length, state);
}

__attribute__((noreturn))
static void
fail_reading(const input *in)
{
	if (ferror(in->stream))
		fail_file("read", in->file.path);
	if (deltafile_status(in->reader) == SPARSE_NO_MEMORY)
		fail(STATUS_FAILED, NULL, "out of memory");
	if (deltafile_status(in->reader) == SPARSE_NEWER_VERSION)
		fail(STATUS_OTHER_FORMAT, "Use the pg_sparse that made it, or a newer one.",
			 "\"%s\": %s", in->file.path, deltafile_error(in->reader));
	if (deltafile_status(in->reader) == SPARSE_GIVEN_UP)
		fail(STATUS_OTHER_FORMAT, "Make it anew from its base and its child.",
			 "\"%s\": %s", in->file.path, deltafile_error(in->reader));
	fail(STATUS_DAMAGED, input_damaged_hint, "\"%s\": %s", in->file.path, deltafile_error(in->reader));
}

static void
read_head(input *in)
{
	in->reader = deltafile_open(get_bytes, in->stream);
	if (in->reader == NULL)
		fail(STATUS_FAILED, NULL, "out of memory");
	if (deltafile_error(in->reader))
		fail_reading(in);
}

void
input_open(input *in, const char *path)
{
	source_open(&in->file, path);
	in->stream = fdopen(in->file.fd, "rb");
	if (in->stream == NULL)
		fail_file("open", path);
	read_head(in);
}

deltafile_next
input_next(input *in)
{
	deltafile_next next = deltafile_read_next(in->reader);

	if (next == DELTAFILE_FAILED)
		fail_reading(in);
	return next;
}

void
input_rewind(input *in)
{
	deltafile_reader_free(in->reader);
	if (fseek(in->stream, 0, SEEK_SET) != 0)
		fail_file("read", in->file.path);
	read_head(in);
}

void
input_close(input *in)
{
	deltafile_reader_free(in->reader);
	fclose(in->stream);
}
