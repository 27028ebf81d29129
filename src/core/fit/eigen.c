/*
 * eigen.c: see eigen.h.
 *
 * LAPACK would do the same, and brings a BLAS that may start threads.
 */
#include "fit/eigen.h"

#include <math.h>
#include <stdbool.h>

/* ---- with eigenvectors: Jacobi's rotations ---- */

#define SWEEPS 30				/* at most; about 8 are needed */

/* What is beside the diagonal, as a part of it, that is taken for zero. */
#define BESIDE_WITHIN 1e-14

static void
rotate(double *x, double *y, int stride, int count, double c, double s)
{
	for (int i = 0; i < count; i++, x += stride, y += stride)
	{
		const double a = *x;
		const double b = *y;

		*x = c * a - s * b;
		*y = s * a + c * b;
	}
}

/* Makes element (p, q) zero, and turns the vectors by as much. */
static void
annihilate(double *a, int n, int p, int q, double *vector)
{
	const double slope = (a[q * n + q] - a[p * n + p]) / (2 * a[p * n + q]);
	const double t = (slope >= 0 ? 1 : -1) / (fabs(slope) + sqrt(slope * slope + 1));
	const double c = 1 / sqrt(t * t + 1);

	rotate(a + p * n, a + q * n, 1, n, c, t * c);
	rotate(a + p, a + q, n, n, c, t * c);
	rotate(vector + p * n, vector + q * n, 1, n, c, t * c);
}

static void
swap(double *x, double *y)
{
	const double z = *x;

	*x = *y;
	*y = z;
}

void
fit_eigen(double *a, int n, fit_pause pause, void *state, double *value, double *vector)
{
	bool		again = true;

	for (int i = 0; i < n * n; i++)
		vector[i] = i / n == i % n;
	for (int sweep = 0; again && sweep < SWEEPS; sweep++)
	{
		again = false;
		for (int p = 0; p < n; p++)
		{
			pause(state);
			for (int q = p + 1; q < n; q++)
				if (fabs(a[p * n + q]) > BESIDE_WITHIN * sqrt(fabs(a[p * n + p] * a[q * n + q])))
				{
					annihilate(a, n, p, q, vector);
					again = true;
				}
		}
	}
	for (int i = 0; i < n; i++)
		value[i] = a[i * n + i];
	for (int i = 0; i < n; i++)
	{
		int			largest = i;

		for (int k = i + 1; k < n; k++)
			if (value[k] > value[largest])
				largest = k;
		if (largest == i)
			continue;
		swap(&value[i], &value[largest]);
		for (int k = 0; k < n; k++)
			swap(&vector[i * n + k], &vector[largest * n + k]);
	}
}

/* ---- without: tridiagonal form, and QL ---- */

/* How exact values are, relative to their neighbours, and after how many turns each is taken as it is. */
#define VALUES_WITHIN 1e-6
#define MOST_TURNS 30

/*
 * Householder's reflections: a symmetric matrix becomes tridiagonal, of which `value` is the diagonal and `beside` what
 * is beside it. Rows are columns here, so every loop runs along memory.
 */
static void
tridiagonalise(double *a, int n, double *value, double *beside)
{
	double		v[FIT_EIGENVALUES_MAX];
	double		w[FIT_EIGENVALUES_MAX];

	for (int k = 0; k + 1 < n; k++)
	{
		const double *row = a + k * n;
		double		squares = 0;
		double		length;
		double		shared = 0;

		value[k] = row[k];
		for (int j = k + 1; j < n; j++)
			squares += row[j] * row[j];
		length = row[k + 1] > 0 ? -sqrt(squares) : sqrt(squares);
		beside[k] = length;
		squares -= length * row[k + 1];		/* half of |v|^2 */
		if (!(squares > 0))
			continue;
		for (int j = k + 1; j < n; j++)
			v[j] = row[j] - (j == k + 1 ? length : 0);
		for (int i = k + 1; i < n; i++)
		{
			double		sum = 0;

			for (int j = k + 1; j < n; j++)
				sum += a[i * n + j] * v[j];
			w[i] = sum / squares;
			shared += w[i] * v[i];
		}
		for (int i = k + 1; i < n; i++)
			w[i] -= shared / (2 * squares) * v[i];
		for (int i = k + 1; i < n; i++)
			for (int j = k + 1; j < n; j++)
				a[i * n + j] -= v[i] * w[j] + w[i] * v[j];
	}
	value[n - 1] = a[n * n - 1];
	beside[n - 1] = 0;
}

/*
 * A step of the implicit QL iteration on rows `first` to `last` of a tridiagonal matrix, shifted by an eigenvalue of
 * its first two rows (H. Bowdler, R. Martin, C. Reinsch, J. Wilkinson, Numerische Mathematik 11, 1968).
 */
static void
chase(double *value, double *beside, int first, int last)
{
	const double half = (value[first + 1] - value[first]) / (2 * beside[first]);
	double		g = value[last] - value[first] + beside[first] / (half + copysign(sqrt(half * half + 1), half));
	double		s = 1;
	double		c = 1;
	double		moved = 0;

	for (int i = last - 1; i >= first; i--)
	{
		const double f = s * beside[i];
		const double b = c * beside[i];
		const double r = sqrt(f * f + g * g);
		double		t;

		beside[i + 1] = r;
		if (r == 0)
		{
			value[i + 1] -= moved;
			beside[last] = 0;
			return;
		}
		s = f / r;
		c = g / r;
		g = value[i + 1] - moved;
		t = (value[i] - g) * s + 2 * c * b;
		moved = s * t;
		value[i + 1] = g + moved;
		g = c * t - b;
	}
	value[first] -= moved;
	beside[first] = g;
	beside[last] = 0;
}

void
fit_eigenvalues(double *a, int n, double *value)
{
	double		beside[FIT_EIGENVALUES_MAX];

	tridiagonalise(a, n, value, beside);
	for (int first = 0; first < n; first++)
		for (int turn = 0; turn < MOST_TURNS; turn++)
		{
			int			last = first;

			while (last + 1 < n && fabs(beside[last]) > VALUES_WITHIN * (fabs(value[last]) + fabs(value[last + 1])))
				last++;
			if (last == first)
				break;
			chase(value, beside, first, last);
		}
	for (int i = 1; i < n; i++)
		for (int k = i; k > 0 && value[k] > value[k - 1]; k--)
		{
			const double x = value[k];

			value[k] = value[k - 1];
			value[k - 1] = x;
		}
}
