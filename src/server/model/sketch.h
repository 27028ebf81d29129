/*
 * sketch.h: a version in at most 4 KiB, so that it can be compared without its tensors.
 *
 * A sketch holds up to 64 tensors, of each 16 values: four runs of four neighbours, at
 * places that follow from the shape without its first dimension alone. So it is the same
 * elements that two versions of one architecture keep, whatever their dtypes, the prefixes
 * of their names, and the rows that one of them has more. Values are kept as the upper
 * 24 bits of a float: a cast changes them by no more than it must.
 *
 * Bytes: u8 format (1), u8 tensors, six zeros; then 60 bytes for each tensor, in ascending
 * order of (shape, name): u16 shape, u16 name (hashes), u32 weight (bits of a float: how
 * many elements it stands for), u8 dtype, u8 log2 of the rows, two zeros, 16 u24 values.
 * All numbers are little-endian.
 */
#ifndef SPARSE_MODEL_SKETCH_H
#define SPARSE_MODEL_SKETCH_H

#include "postgres.h"

#include "import.h"

#define SKETCH_FORMAT 1
#define SKETCH_TENSORS 64
#define SKETCH_RUNS 4
#define SKETCH_RUN 4
#define SKETCH_SAMPLES (SKETCH_RUNS * SKETCH_RUN)

typedef struct SketchTensor
{
	uint16		shape;			/* hashes: of the shape without its first dimension, */
	uint16		name;			/* and of the name without its prefix */
	float		weight;			/* elements that it stands for */
	uint8		dtype;
	uint8		rows_log;		/* runs lie in rows below 1 << rows_log */
	float		value[SKETCH_SAMPLES];
} SketchTensor;

typedef struct Sketch
{
	int64		architecture;	/* equal for versions that may be kin */
	int64		width;			/* equal for those, too, that may be of another form; 0: unknown */
	int			tensors;
	SketchTensor tensor[SKETCH_TENSORS];
} Sketch;

/* The row that a run lies in, of at least 1 << rows_log. */
extern uint32 sketch_run_row(uint16 shape, int run, int rows_log);

/* Of a plan whose files can be read. */
extern void sketch_of_plan(ImportPlan *plan, Sketch *sketch);

/* Of a stored version, from its tensors; as the store's owner, within SPI_connect. */
extern void sketch_of_version(int64 version, bool read_only, Sketch *sketch);

/* Keeps a version's sketch; false where it had one. As the store's owner, within SPI_connect. */
extern bool sketch_keep(int64 version, const Sketch *sketch);

/* Only models have tensors to be sampled. */
extern void sketch_check_model(const StoreVersion *version);

/* From the bytes of a sketch, but for its architecture; false where they are none. */
extern bool sketch_unpack(const uint8 *bytes, size_t length, Sketch *sketch);

/*
 * The best parent of what has that sketch among the versions that the caller can see, but for `except`; false:
 * none would pay. read_only: with the snapshot at hand.
 */
extern bool find_best_parent(const Sketch *child, int64 except, bool read_only, int64 *version, int64 *estimated_bytes);

#endif
