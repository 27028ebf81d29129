/*
 * approximate.h: an approximation on its way from an exact version to one of its own.
 *
 * Each tensor of the approximation is defined as the result of a formula over stored objects (levels and scales, or
 * factors); so its chunks hold the formula and nothing else.
 */
#ifndef SPARSE_MODEL_APPROXIMATE_H
#define SPARSE_MODEL_APPROXIMATE_H

#include "import.h"

typedef enum ApproximateMethod
{
	APPROXIMATE_SVD,
	APPROXIMATE_INT8,
	APPROXIMATE_BIT1
} ApproximateMethod;

typedef struct Approximation
{
	Import		import;			/* the new version; parent 0 is the exact one */
	ApproximateMethod method;
	const char *method_name;
	int			rank;			/* 0: as max_error wants it */
	double		max_error;		/* relative L2 of each tensor; infinite: any */
	int64		base;			/* the parent of the exact version that the caller can read; 0: none */
	ObjectReader *reader;
	Sha256	   *file_sum;		/* of the file at hand */
	Checksum   *file_checksum;
	Sha256	   *object_sum;
} Approximation;

/* A tensor of the exact version, and what it may be compared with. */
typedef struct ExactTensor
{
	const PlanTensor *tensor;
	int64		object;
	int64		base;			/* the tensor of its name, dtype and shape in the base; 0: none */
} ExactTensor;

typedef struct TensorErrors
{
	bool		exact;			/* it was left as it is */
	int			rank;			/* of a product; else 0 */
	double		max_abs;
	double		relative_l2;
	int64		max_ulp;		/* floats in between, at most */
} TensorErrors;

/*
 * Stores what approximates a tensor; the object's id. The bytes of it go to the file's sum. As the store's owner, within
 * SPI_connect, in a memory context of the tensor's.
 */
extern int64 approximate_tensor(Approximation *approximation, const ExactTensor *exact, TensorErrors *errors);

#endif
