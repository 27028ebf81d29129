/*
 * receive.h: ranges of a version's files: asked for, decoded and checked, chunk by
 * chunk. What the server sends before them for their sake is kept on a tape (tape.h).
 */
#ifndef SPARSE_CLIENT_RECEIVE_H
#define SPARSE_CLIENT_RECEIVE_H

#include <stdatomic.h>

#include "conn.h"
#include "have.h"

typedef struct receiver
{
	conn	   *conn;
	sparse_codec *codec;
	const char *version;		/* its id */
	const haves *haves;
	_Atomic uint64_t *sent;		/* bytes of the rows that came, which several may count in */
	bool		factors;		/* the server can send what chunks need before them */
	tape		tape;
	wire_buffer prediction;
	wire_buffer content;
} receiver;

/* A chunk's content, checked against its XXH3. */
typedef void (*receiver_take) (void *state, const wire_delta *row, const uint8_t *content);

/*
 * Gets the chunks that hold [first, end) of a file, in order: they cover it without
 * a gap, and begin or end outside of it only where a chunk does.
 */
extern void receive(receiver *r, const char *path, uint64_t first, uint64_t end,
					receiver_take take, void *state);

extern void receiver_release(receiver *r);

/* What is to be done where a server sent what it should not have. */
extern const char received_damaged_hint[];

#endif
