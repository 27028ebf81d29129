/*
 * estimate.c: what a version will take, from a sample of it (see estimate.h).
 */
#include "estimate.h"

#include <stdlib.h>
#include <string.h>

#include "codec/grid.h"
#include "factors.h"

typedef struct estimator
{
	const sparse_estimate_shell *shell;
	workspace  *work;
	const sparse_estimate_part *part;
	uint64_t	parts;
	uint64_t	sample_bytes;
	sparse_factors factors;
	sparse_estimated *out;

	/* of the part that was turned to last */
	const sparse_estimate_part *at;
	sparse_subject subject;
	sparse_proposals *proposals;
	sparse_prediction prediction;
	sparse_coder coder;
	sparse_grid grid;
	double		factor_bytes;
	double		factor_chunks;
	double		factor_count;
	uint8_t    *content;
	uint8_t    *predicted;
} estimator;

/* ---- a part ---- */

static void
add_factor(estimator *e, const sparse_factor *factor)
{
	for (uint64_t first = 0; first < factor->bytes; first += SPARSE_CHUNK_TARGET)
	{
		const uint8_t *delta;
		size_t		bytes;

		workspace_check(e->work, sparse_delta_encode(e->shell->codec, factor->content + first,
													 SPARSE_MIN(SPARSE_CHUNK_TARGET, factor->bytes - first), factor->dtype,
													 NULL, 0, NULL, 0, &delta, &bytes));
		e->factor_bytes += (double) bytes;
		e->factor_chunks++;
	}
	e->factor_count++;
}

static void
add_factors(estimator *e)
{
	const sparse_recipe *recipe = e->prediction.recipe;

	e->factor_bytes = e->factor_chunks = e->factor_count = 0;
	for (int i = 0; recipe != NULL && i < recipe->sources; i++)
	{
		const sparse_factor *factor = sparse_factors_get(&e->factors, recipe->source[i].object);

		if (factor != NULL)
			add_factor(e, factor);
	}
}

/* Chooses what predicts a part, unless that was done last. */
static void
turn_to(estimator *e, const sparse_estimate_part *part)
{
	const sparse_estimate_shell *shell = e->shell;
	uint64_t	shared;

	if (e->at == part)
		return;
	e->at = part;
	sparse_factors_forget(&e->factors);
	workspace_release(e->work, e->content);
	workspace_release(e->work, e->predicted);
	e->proposals->candidates = e->proposals->recipes = 0;
	shell->turn_to(shell->state, (uint64_t) (part - e->part), &e->subject, e->proposals);
	e->coder = (sparse_coder) {shell->environment, &e->factors.source, &e->subject, shell->codec};
	workspace_check(e->work, recipes_propose(shell->environment, &e->factors.source, &e->subject, shell->codec,
											 shell->index, e->proposals));
	workspace_check(e->work, prediction_choose(&e->coder, e->proposals, &e->prediction));
	add_factors(e);
	shared = e->prediction.shared;
	e->grid = (sparse_grid) {e->subject.bytes, shared < e->subject.bytes ? shared : 0, e->subject.chunk_bytes};
	e->content = workspace_allocate(e->work, SPARSE_MIN(e->subject.chunk_bytes, e->subject.bytes));
	e->predicted = workspace_allocate(e->work, SPARSE_MAX(prediction_most_bytes(&e->prediction, &e->subject), 1));
}

/* The bytes that a chunk of the part at hand takes. */
static double
code(estimator *e, uint64_t first, uint64_t bytes)
{
	const uint8_t *delta;
	size_t		delta_bytes;

	workspace_pause(e->work);
	workspace_check(e->work, e->subject.read(e->subject.state, first, bytes, e->content));
	workspace_check(e->work, prediction_encode(&e->coder, &e->prediction, first, bytes, e->content, e->predicted,
											   &delta, &delta_bytes));
	e->out->coded += bytes;
	return (double) delta_bytes;
}

/* What the part at hand has of its own, for as much of it as is told. */
static void
count_factors(estimator *e, double part)
{
	e->out->bytes += part * e->factor_bytes;
	e->out->chunks += part * e->factor_chunks;
	e->out->factors += part * e->factor_count;
}

static void
code_throughout(estimator *e, const sparse_estimate_part *part)
{
	uint64_t	first;
	uint64_t	bytes;

	turn_to(e, part);
	for (uint64_t seq = 0; sparse_grid_chunk(&e->grid, seq, &first, &bytes); seq++)
	{
		e->out->bytes += code(e, first, bytes);
		e->out->chunks++;
	}
	count_factors(e, 1);
}

/* Codes the chunk around a byte of a part, which stands for so many bytes. */
static void
sample(estimator *e, const sparse_estimate_part *part, uint64_t byte, double stands_for)
{
	uint64_t	first = 0;
	uint64_t	bytes = 1;

	turn_to(e, part);
	sparse_grid_chunk(&e->grid, sparse_grid_seq(&e->grid, byte), &first, &bytes);
	e->out->bytes += stands_for * code(e, first, bytes) / (double) bytes;
	e->out->chunks += stands_for / (double) bytes;
	count_factors(e, stands_for / (double) part->bytes);
}

/* ---- kinds ---- */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The next character of a name's kind, in which any number is a '#'; 0 at the end. */
static unsigned
next_of_kind(const char **name)
{
	if (!is_digit(**name))
		return **name != '\0' ? (unsigned char) *(*name)++ : 0;
	while (is_digit(**name))
		(*name)++;
	return '#';
}

/* Compares names without regard to the numbers in them: those of layers and experts. */
static int
compare_kinds(const char *a, const char *b)
{
	unsigned	x;
	unsigned	y;

	do
	{
		x = next_of_kind(&a);
		y = next_of_kind(&b);
	} while (x == y && x != 0);
	return (x > y) - (x < y);
}

/* By kind, then by place. */
static int
compare_parts(const void *a, const void *b)
{
	const sparse_estimate_part *x = *(const sparse_estimate_part *const *) a;
	const sparse_estimate_part *y = *(const sparse_estimate_part *const *) b;
	int			order = compare_kinds(x->name, y->name);

	return order != 0 ? order : (x > y) - (x < y);
}

/*
 * Codes that many chunks of the parts of one kind, at even distances; each of them
 * stands for the same number of bytes. Codes all, when that is hardly more.
 */
static void
sample_kind(estimator *e, const sparse_estimate_part *const *part, uint64_t count, uint64_t bytes, uint64_t chunks)
{
	double		step = (double) bytes / (double) chunks;
	double		next = step / 2;
	uint64_t	before = 0;

	for (uint64_t i = 0; i < count; i++)
	{
		if (step <= (double) SPARSE_CHUNK_TARGET)
			code_throughout(e, part[i]);
		else
			for (; next < (double) (before + part[i]->bytes); next += step)
				sample(e, part[i], (uint64_t) next - before, step);
		before += part[i]->bytes;
	}
}

/* Gives each kind its share of the sample, one chunk at least. */
static void
sample_parts(estimator *e, const sparse_estimate_part **part, uint64_t count, uint64_t total)
{
	const uint64_t chunks = e->sample_bytes / SPARSE_CHUNK_TARGET;
	uint64_t	kind;

	qsort(part, count, sizeof(*part), compare_parts);
	for (uint64_t first = 0; first < count; first += kind)
	{
		uint64_t	bytes = 0;
		double		share;

		for (kind = 0; first + kind < count && compare_kinds(part[first]->name, part[first + kind]->name) == 0; kind++)
			bytes += part[first + kind]->bytes;
		share = (double) bytes * (double) chunks / (double) total;
		sample_kind(e, part + first, kind, bytes, 1 + (share > 0 ? (uint64_t) (share - share / (double) bytes) : 0));
	}
}

static void
estimate(void *argument)
{
	estimator  *e = argument;
	const sparse_estimate_part **part = workspace_allocate(e->work, e->parts * sizeof(*part));
	uint64_t	count = 0;
	uint64_t	total = 0;

	e->proposals = workspace_allocate(e->work, sizeof(sparse_proposals));
	for (uint64_t i = 0; i < e->parts; i++)
		if (!e->part[i].known && e->part[i].bytes > 0)
		{
			part[count++] = &e->part[i];
			total += e->part[i].bytes;
		}
	sample_parts(e, part, count, total);
}

sparse_status
sparse_estimate(const sparse_estimate_shell *shell, const sparse_estimate_part *part, uint64_t parts,
				uint64_t sample_bytes, sparse_estimated *estimated)
{
	workspace	work;
	estimator	e = {
		.shell = shell, .work = &work, .part = part, .parts = parts, .sample_bytes = sample_bytes, .out = estimated
	};
	sparse_status status;

	*estimated = (sparse_estimated) {0};
	workspace_init(&work, shell->environment);
	sparse_factors_init(&e.factors, shell->source, &work.allocator);
	status = workspace_run(&work, estimate, &e);
	workspace_end(&work);
	return status;
}
