/*
 * eigen.h: eigenvalues of small symmetric matrices, row by row in memory.
 */
#ifndef SPARSE_FIT_EIGEN_H
#define SPARSE_FIT_EIGEN_H

/* Called by what takes long, with the state that it was given; may not return (an error of the caller's). */
typedef void (*fit_pause) (void *state);

/*
 * The n eigenvalues, largest first, and the eigenvectors that belong to them, as
 * rows (n x n). The matrix is lost. `pause` is called with `state` for each row, and may not return.
 */
extern void fit_eigen(double *matrix, int n, fit_pause pause, void *state, double *value, double *vector);

#define FIT_EIGENVALUES_MAX 64

/*
 * The eigenvalues alone, to about six digits, for n of 2 to FIT_EIGENVALUES_MAX: six times as fast. The matrix is lost.
 */
extern void fit_eigenvalues(double *matrix, int n, double *value);

#endif
