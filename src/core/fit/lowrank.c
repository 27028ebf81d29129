/*
 * lowrank.c: a low-rank change, found under the rounding that came after it.
 *
 *   1. The Gram matrix of a few rows of the difference: without a gap among its
 *      eigenvalues there is no low rank, and that is the end. So it is where the rows, projected on the
 *      eigenvectors before the gap, agree with few elements.
 *   2. The range of the difference by random projection, by blocks of rows (Halko,
 *      Martinsson, Tropp, "Finding structure with randomness", SIAM Review 53, 2011), with one power
 *      iteration; the rank is where the largest gap is.
 *   3. What is known of a difference is an interval, half a unit in the last place of the
 *      child to either side; mostly it is wider than the change itself. So least squares
 *      are repeated on the difference moved within its intervals as near to the model as
 *      they let it: elements that say nothing then ask for nothing.
 *   4. The factors are rounded to as few bits as leave their error small beside the intervals, the
 *      left one first, so that the right one can make up for it.
 *
 * Small matrices are orthogonalised by Gram-Schmidt, twice, and diagonalised by eigen.c.
 */
#include "lowrank.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define SAMPLE_ROWS 64
#define SAMPLE_COLUMNS 2048
#define OVERSAMPLING 8
#define BLOCK_ELEMENTS ((uint64_t) 262144)	/* of a block of rows */
#define SWEEPS 10
#define PAUSE_ROWS 1024			/* after so many of a factor's comes a pause */

/* Targets are moved so much further than to the edge of their intervals, which takes half of the sweeps. */
#define RELAXATION 1.8f

/* One element in so many must agree with the model at once. (Of merges seven in eight do, of fine-tunes one.) */
#define LEAST_MET 2
#define MET_ROWS 16				/* that are looked at first */

/* And one in so many of those that changed: where few did, nearly everything agrees with no change at all. */
#define CHANGED_MET 16

/* Of the sample alone, whose eigenvectors hold some of the rounding too. */
#define SAMPLE_MET 3

/* Turns of the iteration for its first eigenvectors. */
#define LEADING_TURNS 8

/* An eigenvalue must be so many times the next one, and than the middle one, to be the last of a low rank. */
#define GAP 2.0
#define ABOVE_MIDDLE 4.0

typedef struct search
{
	const sparse_allocator *allocator;
	fit_read	read;
	fit_pause	pause;
	void	   *state;
	uint64_t	rows;
	uint64_t	columns;
	int			mantissa_bits;
	int			least_exponent; /* of normal numbers */
	uint64_t	block;			/* rows at a time */
	unsigned	rank;			/* of the factors below */
	float	   *child;
	float	   *parent;
	float	   *model;			/* of a row */
	float	   *target;
	float	   *left;			/* rows x rank */
	float	   *right;			/* rank x columns */
	float	   *sum;			/* rank x columns */
	uint64_t	met;			/* elements whose interval held the model, since it was 0 */
	uint64_t	changed;		/* those whose interval does not hold 0 */
	uint64_t	met_changed;	/* both */
} search;

static float *
floats(const search *s, uint64_t count)
{
	return s->allocator->allocate(s->allocator->state, (size_t) count * sizeof(float));
}

/* Before row (or column) `i` of a loop over them. */
static void
pause_at(const search *s, uint64_t i)
{
	if (i % PAUSE_ROWS == 0)
		s->pause(s->state);
}

static void
release(const search *s, void *memory)
{
	if (memory)
		s->allocator->release(s->allocator->state, memory);
}

/* ---- small matrices ---- */

/* A scalar product, in sums side by side. */
static float
dot_product(const float *x, const float *y, uint64_t count)
{
	float		part[16] = {0};
	uint64_t	j = 0;

	for (; j + 16 <= count; j += 16)
		for (int c = 0; c < 16; c++)
			part[c] += x[j + c] * y[j + c];
	for (; j < count; j++)
		part[0] += x[j] * y[j];
	for (int c = 1; c < 16; c++)
		part[0] += part[c];
	return part[0];
}

/* How many eigenvalues stand before the largest gap; 0 where none is large enough. */
static unsigned
gap_after(const double *value, int n)
{
	const double middle = value[n / 2];
	double		widest = GAP;
	unsigned	rank = 0;

	for (int i = 0; i + 1 < n && i < n / 2 && i < FIT_MAX_RANK; i++)
	{
		const double next = value[i + 1] > 0 ? value[i + 1] : 0;

		if (value[i] > 0 && value[i] > ABOVE_MIDDLE * middle && value[i] >= widest * next)
		{
			widest = next > 0 ? value[i] / next : INFINITY;
			rank = (unsigned) i + 1;
		}
	}
	return rank;
}

/* Makes the columns of an array of `rows` rows of `n` orthonormal; one that depends on others becomes zero. */
static void
orthonormalise(const search *s, float *y, uint64_t rows, unsigned n)
{
	for (unsigned k = 0; k < n; k++)
		for (int again = 0; again < 2; again++)
		{
			double		norm = 0;

			for (unsigned j = 0; j < k; j++)
			{
				double		dot = 0;

				s->pause(s->state);
				for (uint64_t i = 0; i < rows; i++)
					dot += (double) y[i * n + j] * y[i * n + k];
				for (uint64_t i = 0; i < rows; i++)
					y[i * n + k] -= (float) dot * y[i * n + j];
			}
			for (uint64_t i = 0; i < rows; i++)
				norm += (double) y[i * n + k] * y[i * n + k];
			norm = norm > 0 ? 1 / sqrt(norm) : 0;
			for (uint64_t i = 0; i < rows; i++)
				y[i * n + k] *= (float) norm;
		}
}

/* ---- the difference ---- */

/* Differences in place of the child's values; what is not a number is none. */
static void
subtract(float *child, const float *parent, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
	{
		const float d = child[i] - parent[i];

		child[i] = fabsf(d) < INFINITY ? d : 0;
	}
}

/* Half a unit in the last place of each value. */
static void
half_units(const search *s, const float *value, uint64_t count, float *half)
{
	for (uint64_t i = 0; i < count; i++)
	{
		uint32_t	bits;
		int			exponent;

		memcpy(&bits, &value[i], sizeof(bits));
		exponent = (int) (bits >> 23 & 255) - 127;
		exponent = exponent < s->least_exponent ? s->least_exponent : exponent;
		exponent += 127 - s->mantissa_bits - 1;
		bits = exponent > 0 ? (uint32_t) exponent << 23 : 0;
		memcpy(&half[i], &bits, sizeof(bits));
	}
}

static void
read_block(const search *s, uint64_t first, uint64_t rows)
{
	s->read(s->state, first, rows, s->child, s->parent);
}

static uint64_t
rows_from(const search *s, uint64_t first)
{
	return s->rows - first < s->block ? s->rows - first : s->block;
}

/* A sample of rows, and of their first columns. */
typedef struct sample
{
	uint64_t	rows;
	uint64_t	columns;
	float	   *difference;
} sample;

static uint64_t
sampled_row(const search *s, const sample *of, uint64_t i)
{
	return (s->rows - 1) * i / (of->rows - 1);
}

static void
fill_randomly(float *x, uint64_t count)
{
	uint64_t	state = 88172645463325252u;

	for (uint64_t i = 0; i < count; i++)
	{
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		x[i] = (float) (int32_t) (state >> 32) / 2147483648.0f;
	}
}

/*
 * The eigenvectors of a symmetric matrix of n rows before a gap, as columns, by orthogonal iteration: what is behind
 * the gap is less than half as large, and halves with every turn.
 */
static void
leading_vectors(const search *s, const double *matrix, uint64_t n, unsigned rank, float *vector)
{
	float		product[SAMPLE_ROWS * SAMPLE_ROWS];
	double		trace = 0;

	for (uint64_t i = 0; i < n; i++)
		trace += matrix[i * n + i];
	fill_randomly(vector, n * rank);
	for (int turn = 0; turn < LEADING_TURNS; turn++)
	{
		for (uint64_t i = 0; i < n; i++)
			for (unsigned r = 0; r < rank; r++)
				product[i * rank + r] = 0;
		for (uint64_t i = 0; i < n; i++)
			for (uint64_t k = 0; k < n; k++)
			{
				const float x = (float) (matrix[i * n + k] / trace);

				for (unsigned r = 0; r < rank; r++)
					product[i * rank + r] += x * vector[k * rank + r];
			}
		memcpy(vector, product, n * rank * sizeof(float));
		orthonormalise(s, vector, n, rank);
	}
}

/* Row i of the model: that of the sample, projected on eigenvectors of the Gram matrix of its rows. */
static void
project_row(const sample *of, const float *vector, unsigned rank, uint64_t i, float *model)
{
	memset(model, 0, of->columns * sizeof(float));
	for (uint64_t k = 0; k < of->rows; k++)
	{
		const float *row = of->difference + k * of->columns;
		float		part = 0;

		for (unsigned r = 0; r < rank; r++)
			part += vector[i * rank + r] * vector[k * rank + r];
		for (uint64_t j = 0; j < of->columns; j++)
			model[j] += part * row[j];
	}
}

/* Whether some of the sampled rows agree with their projections: what has no low rank, but a gap, mostly does not. */
static bool
agrees_with_itself(search *s, const sample *of, const double *gram, unsigned rank)
{
	float		vector[SAMPLE_ROWS * SAMPLE_ROWS];
	uint64_t	met = 0;
	uint64_t	changed = 0;
	uint64_t	met_changed = 0;

	leading_vectors(s, gram, of->rows, rank, vector);
	for (uint64_t m = 0; m < MET_ROWS; m++)
	{
		const uint64_t i = (of->rows - 1) * m / (MET_ROWS - 1);

		read_block(s, sampled_row(s, of, i), 1);
		half_units(s, s->child, of->columns, s->target);
		project_row(of, vector, rank, i, s->model);
		for (uint64_t j = 0; j < of->columns; j++)
		{
			const float d = s->child[j] - s->parent[j];

			const bool	agrees = fabsf(s->model[j] - d) <= s->target[j];

			met += agrees;
			changed += fabsf(d) > s->target[j];
			met_changed += agrees && fabsf(d) > s->target[j];
		}
	}
	return met * SAMPLE_MET >= MET_ROWS * of->columns && met_changed * CHANGED_MET >= changed;
}

/* The rank that a sample of rows shows; 0: none. */
static unsigned
sample_rank(search *s)
{
	sample		of = {
		.rows = s->rows < SAMPLE_ROWS ? s->rows : SAMPLE_ROWS,
		.columns = s->columns < SAMPLE_COLUMNS ? s->columns : SAMPLE_COLUMNS
	};
	const uint64_t n = of.rows;
	double		gram[SAMPLE_ROWS * SAMPLE_ROWS];
	double		spent[SAMPLE_ROWS * SAMPLE_ROWS];
	double		value[SAMPLE_ROWS];
	unsigned	rank;

	of.difference = floats(s, n * of.columns);
	if (of.difference == NULL)
		return 0;
	for (uint64_t i = 0; i < n; i++)
	{
		read_block(s, sampled_row(s, &of, i), 1);
		subtract(s->child, s->parent, of.columns);
		memcpy(of.difference + i * of.columns, s->child, of.columns * sizeof(float));
	}
	for (uint64_t i = 0; i < n; i++)
		for (uint64_t k = 0; k <= i; k++)
			gram[i * n + k] = gram[k * n + i] = dot_product(of.difference + i * of.columns, of.difference + k * of.columns,
															of.columns);
	memcpy(spent, gram, n * n * sizeof(double));
	fit_eigenvalues(spent, (int) n, value);
	rank = gap_after(value, (int) n);
	if (rank > 0 && !agrees_with_itself(s, &of, gram, rank))
		rank = 0;
	release(s, of.difference);
	return rank;
}

/* ---- the range ---- */

/* left = difference x right^T, for `n` rows of right. */
static void
project_right(const search *s, const float *right, unsigned n, float *left)
{
	for (uint64_t first = 0; first < s->rows; first += s->block)
	{
		const uint64_t rows = rows_from(s, first);

		read_block(s, first, rows);
		subtract(s->child, s->parent, rows * s->columns);
		for (uint64_t i = 0; i < rows; i++)
			for (unsigned k = 0; k < n; k++)
				left[(first + i) * n + k] = dot_product(s->child + i * s->columns, right + k * s->columns, s->columns);
	}
}

/* right = left^T x difference. */
static void
project_left(const search *s, const float *left, unsigned n, float *right)
{
	memset(right, 0, n * s->columns * sizeof(float));
	for (uint64_t first = 0; first < s->rows; first += s->block)
	{
		const uint64_t rows = rows_from(s, first);

		read_block(s, first, rows);
		subtract(s->child, s->parent, rows * s->columns);
		for (uint64_t i = 0; i < rows; i++)
			for (unsigned k = 0; k < n; k++)
			{
				const float l = left[(first + i) * n + k];
				const float *d = s->child + i * s->columns;
				float	   *r = right + k * s->columns;

				for (uint64_t j = 0; j < s->columns; j++)
					r[j] += l * d[j];
			}
	}
}

/* Rotates n rows of right, and columns of left, to the principal ones, and keeps the first; how many before the gap. */
static unsigned
principal(search *s, unsigned n)
{
	double		gram[(FIT_MAX_RANK + OVERSAMPLING) * (FIT_MAX_RANK + OVERSAMPLING)];
	double		vector[(FIT_MAX_RANK + OVERSAMPLING) * (FIT_MAX_RANK + OVERSAMPLING)];
	double		value[FIT_MAX_RANK + OVERSAMPLING];
	double		row[FIT_MAX_RANK + OVERSAMPLING];
	unsigned	rank = 0;
	double		widest = 1.3;

	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k <= i; k++)
		{
			double		dot = 0;

			s->pause(s->state);
			for (uint64_t j = 0; j < s->columns; j++)
				dot += (double) s->right[i * s->columns + j] * s->right[k * s->columns + j];
			gram[i * n + k] = gram[k * n + i] = dot;
		}
	fit_eigen(gram, (int) n, s->pause, s->state, value, vector);
	for (unsigned i = 0; i + 1 < n && i < FIT_MAX_RANK; i++)
		if (value[i] > 0 && value[i] >= widest * (value[i + 1] > 0 ? value[i + 1] : 0))
		{
			widest = value[i + 1] > 0 ? value[i] / value[i + 1] : INFINITY;
			rank = i + 1;
		}
	if (rank == 0)
		return 0;
	for (uint64_t j = 0; j < s->columns; j++)
	{
		pause_at(s, j);
		for (unsigned k = 0; k < rank; k++)
		{
			row[k] = 0;
			for (unsigned i = 0; i < n; i++)
				row[k] += vector[k * n + i] * s->right[i * s->columns + j];
		}
		for (unsigned k = 0; k < rank; k++)
			s->sum[k * s->columns + j] = (float) row[k];
	}
	memcpy(s->right, s->sum, rank * s->columns * sizeof(float));
	for (uint64_t i = 0; i < s->rows; i++)
	{
		pause_at(s, i);
		for (unsigned k = 0; k < rank; k++)
		{
			row[k] = 0;
			for (unsigned c = 0; c < n; c++)
				row[k] += vector[k * n + c] * s->left[i * n + c];
		}
		for (unsigned k = 0; k < rank; k++)
			s->left[i * rank + k] = (float) row[k];	/* (never ahead of what is still to be read) */
	}
	return rank;
}

/* ---- refinement ---- */

/* Solves m x = v for a symmetric positive matrix, by Cholesky, in place; what has no solution is zero. */
static void
factorise(double *m, unsigned n)
{
	for (unsigned j = 0; j < n; j++)
		for (unsigned i = j; i < n; i++)
		{
			double		sum = m[i * n + j];

			for (unsigned k = 0; k < j; k++)
				sum -= m[i * n + k] * m[j * n + k];
			if (i == j)
				m[j * n + j] = sum > 1e-30 ? sqrt(sum) : 0;
			else
				m[i * n + j] = m[j * n + j] > 0 ? sum / m[j * n + j] : 0;
		}
}

static void
solve(const double *m, unsigned n, double *x)
{
	for (unsigned i = 0; i < n; i++)
	{
		for (unsigned k = 0; k < i; k++)
			x[i] -= m[i * n + k] * x[k];
		x[i] = m[i * n + i] > 0 ? x[i] / m[i * n + i] : 0;
	}
	for (unsigned i = n; i-- > 0;)
	{
		for (unsigned k = i + 1; k < n; k++)
			x[i] -= m[k * n + i] * x[k];
		x[i] = m[i * n + i] > 0 ? x[i] / m[i * n + i] : 0;
	}
}

static void
gram_of_left(const search *s, double *gram)
{
	const unsigned n = s->rank;

	memset(gram, 0, n * n * sizeof(double));
	for (uint64_t i = 0; i < s->rows; i++)
	{
		pause_at(s, i);
		for (unsigned a = 0; a < n; a++)
			for (unsigned b = 0; b <= a; b++)
				gram[a * n + b] += (double) s->left[i * n + a] * s->left[i * n + b];
	}
	factorise(gram, n);
}

static void
gram_of_right(const search *s, double *gram)
{
	const unsigned n = s->rank;

	for (unsigned a = 0; a < n; a++)
		for (unsigned b = 0; b <= a; b++)
		{
			double		dot = 0;

			s->pause(s->state);
			for (uint64_t j = 0; j < s->columns; j++)
				dot += (double) s->right[a * s->columns + j] * s->right[b * s->columns + j];
			gram[a * n + b] = dot;
		}
	factorise(gram, n);
}

/* The difference of row i of the block (row `row` of all), as near to the model as its intervals let it. */
static void
target_row(search *s, uint64_t i, uint64_t row)
{
	const uint64_t n = s->columns;
	const float *child = s->child + i * n;
	const float *parent = s->parent + i * n;
	uint64_t	met = 0;
	uint64_t	changed = 0;
	uint64_t	met_changed = 0;

	memset(s->model, 0, n * sizeof(float));
	for (unsigned k = 0; k < s->rank; k++)
	{
		const float l = s->left[row * s->rank + k];
		const float *r = s->right + k * n;

		for (uint64_t j = 0; j < n; j++)
			s->model[j] += l * r[j];
	}
	half_units(s, child, n, s->target);
	for (uint64_t j = 0; j < n; j++)
	{
		const float d = child[j] - parent[j];
		const float low = d - s->target[j];
		const float high = d + s->target[j];
		float		t = s->model[j];

		met += t >= low && t <= high;
		changed += fabsf(d) > s->target[j];
		met_changed += t >= low && t <= high && fabsf(d) > s->target[j];
		t = t > low ? t : low;
		t = t < high ? t : high;
		t = s->model[j] + RELAXATION * (t - s->model[j]);
		s->target[j] = fabsf(d) < INFINITY ? t : s->model[j];
	}
	s->met += met;
	s->changed += changed;
	s->met_changed += met_changed;
}

/* Begins to count. */
static void
forget_met(search *s)
{
	s->met = s->changed = s->met_changed = 0;
}

/* Whether the model agrees with a few rows nearly as often as it must with all of them. */
static bool
agrees_with_sample(search *s)
{
	forget_met(s);
	for (uint64_t i = 0; i < MET_ROWS; i++)
	{
		const uint64_t row = (s->rows - 1) * i / (MET_ROWS - 1);

		read_block(s, row, 1);
		target_row(s, 0, row);
	}
	return s->met >= MET_ROWS * s->columns * 3 / (4 * LEAST_MET) && s->met_changed * CHANGED_MET >= s->changed;
}

/* The right factor anew, given the left; or the left, given the right. */
static void
refit_right(search *s)
{
	double		gram[FIT_MAX_RANK * FIT_MAX_RANK];
	double		x[FIT_MAX_RANK];

	gram_of_left(s, gram);
	memset(s->sum, 0, s->rank * s->columns * sizeof(float));
	for (uint64_t first = 0; first < s->rows; first += s->block)
	{
		const uint64_t rows = rows_from(s, first);

		read_block(s, first, rows);
		for (uint64_t i = 0; i < rows; i++)
		{
			target_row(s, i, first + i);
			for (unsigned k = 0; k < s->rank; k++)
			{
				const float l = s->left[(first + i) * s->rank + k];
				float	   *sum = s->sum + k * s->columns;

				for (uint64_t j = 0; j < s->columns; j++)
					sum[j] += l * s->target[j];
			}
		}
	}
	for (uint64_t j = 0; j < s->columns; j++)
	{
		pause_at(s, j);
		for (unsigned k = 0; k < s->rank; k++)
			x[k] = s->sum[k * s->columns + j];
		solve(gram, s->rank, x);
		for (unsigned k = 0; k < s->rank; k++)
			s->right[k * s->columns + j] = (float) x[k];
	}
}

static void
refit_left(search *s)
{
	double		gram[FIT_MAX_RANK * FIT_MAX_RANK];
	double		x[FIT_MAX_RANK];

	gram_of_right(s, gram);
	for (uint64_t first = 0; first < s->rows; first += s->block)
	{
		const uint64_t rows = rows_from(s, first);

		read_block(s, first, rows);
		for (uint64_t i = 0; i < rows; i++)
		{
			target_row(s, i, first + i);
			for (unsigned k = 0; k < s->rank; k++)
				x[k] = dot_product(s->target, s->right + k * s->columns, s->columns);
			solve(gram, s->rank, x);
			for (unsigned k = 0; k < s->rank; k++)
				s->left[(first + i) * s->rank + k] = (float) x[k];
		}
	}
}

/* ---- integers ---- */

#define LEFT_BITS 11				/* of the largest number of a component, and a sign */
#define RIGHT_BITS 11

/* The power of two by which numbers up to `largest` become integers of `bits` bits. */
static int
step_for(float largest, int bits)
{
	int			exponent;

	if (!(largest > 0))
		return 0;
	(void) frexpf(largest, &exponent);
	return exponent - bits;
}

static int16_t
rounded(float x, int step)
{
	return (int16_t) lrintf(ldexpf(x, -step));
}

/* Rounds component k of the left factor, whose numbers are then as the decoder will have them. */
static int
round_left(search *s, unsigned k, int16_t *to)
{
	float		largest = 0;
	int			step;

	for (uint64_t i = 0; i < s->rows; i++)
		largest = fmaxf(largest, fabsf(s->left[i * s->rank + k]));
	step = step_for(largest, LEFT_BITS);
	for (uint64_t i = 0; i < s->rows; i++)
	{
		to[i * s->rank + k] = rounded(s->left[i * s->rank + k], step);
		s->left[i * s->rank + k] = ldexpf(to[i * s->rank + k], step);
	}
	return step;
}

static int
round_right(const search *s, unsigned k, int16_t *to)
{
	const float *r = s->right + k * s->columns;
	float		largest = 0;
	int			step;

	for (uint64_t j = 0; j < s->columns; j++)
		largest = fmaxf(largest, fabsf(r[j]));
	step = step_for(largest, RIGHT_BITS);
	for (uint64_t j = 0; j < s->columns; j++)
		to[k * s->columns + j] = rounded(r[j], step);
	return step;
}

static sparse_status
round_factors(search *s, fit_lowrank *fit)
{
	int			step[FIT_MAX_RANK];

	fit->left = s->allocator->allocate(s->allocator->state, (size_t) s->rows * s->rank * sizeof(int16_t));
	fit->right = s->allocator->allocate(s->allocator->state, (size_t) s->columns * s->rank * sizeof(int16_t));
	if (fit->left == NULL || fit->right == NULL)
		return SPARSE_NO_MEMORY;
	for (unsigned k = 0; k < s->rank; k++)
		step[k] = round_left(s, k, fit->left);
	refit_right(s);
	refit_right(s);
	fit->rank = s->rank;
	for (unsigned k = 0; k < s->rank; k++)
	{
		step[k] += round_right(s, k, fit->right);
		if (step[k] < INT8_MIN || step[k] > INT8_MAX)
			fit->rank = 0;
		else
			fit->exponent[k] = (int8_t) step[k];
	}
	return SPARSE_OK;
}

/* ---- all of it ---- */

static sparse_status
find(search *s, fit_lowrank *fit)
{
	const uint64_t least = s->rows < s->columns ? s->rows : s->columns;
	unsigned	n = sample_rank(s) + OVERSAMPLING;

	if (n == OVERSAMPLING || n > least / 2)
		return SPARSE_OK;
	s->left = floats(s, s->rows * n);
	s->right = floats(s, s->columns * n);
	s->sum = floats(s, s->columns * n);
	if (s->left == NULL || s->right == NULL || s->sum == NULL)
		return SPARSE_NO_MEMORY;
	fill_randomly(s->right, n * s->columns);
	for (int power = 0; power < 2; power++)
	{
		project_right(s, s->right, n, s->left);
		orthonormalise(s, s->left, s->rows, n);
		project_left(s, s->left, n, s->right);
	}
	s->rank = principal(s, n);
	if (s->rank == 0 || !agrees_with_sample(s))
		return SPARSE_OK;
	for (int sweep = 0; sweep < SWEEPS; sweep++)
	{
		forget_met(s);
		refit_right(s);
		if (s->met < s->rows * s->columns / LEAST_MET || s->met_changed * CHANGED_MET < s->changed)
			return SPARSE_OK;
		refit_left(s);
	}
	return round_factors(s, fit);
}

sparse_status
fit_lowrank_find(const sparse_allocator *allocator, fit_read read, fit_pause pause, void *state,
				 uint64_t rows, uint64_t columns, sparse_dtype dtype, fit_lowrank *fit)
{
	const sparse_dtype_info *info = sparse_dtype_get(dtype);
	search		s = {
		.allocator = allocator, .read = read, .pause = pause, .state = state, .rows = rows, .columns = columns,
		.mantissa_bits = info->mantissa_bits, .least_exponent = 2 - (1 << (info->exponent_bits - 1)),
		.block = columns > 0 && columns < BLOCK_ELEMENTS ? BLOCK_ELEMENTS / columns : 1
	};
	sparse_status status = SPARSE_NO_MEMORY;

	memset(fit, 0, sizeof(*fit));
	if (rows < SAMPLE_ROWS || columns < SAMPLE_ROWS || columns > BLOCK_ELEMENTS || info->exponent_bits == 0)
		return SPARSE_OK;
	s.child = floats(&s, s.block * columns);
	s.parent = floats(&s, s.block * columns);
	s.model = floats(&s, columns);
	s.target = floats(&s, columns);
	if (s.child && s.parent && s.model && s.target)
		status = find(&s, fit);
	release(&s, s.child);
	release(&s, s.parent);
	release(&s, s.model);
	release(&s, s.target);
	release(&s, s.left);
	release(&s, s.right);
	release(&s, s.sum);
	if (status != SPARSE_OK || fit->rank == 0)
		fit_lowrank_free(allocator, fit);
	return status;
}

void
fit_lowrank_free(const sparse_allocator *allocator, fit_lowrank *fit)
{
	if (fit->left)
		allocator->release(allocator->state, fit->left);
	if (fit->right)
		allocator->release(allocator->state, fit->right);
	fit->left = NULL;
	fit->right = NULL;
	fit->rank = 0;
}
