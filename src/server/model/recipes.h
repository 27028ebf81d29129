/*
 * recipes.h: what the searches for recipes share.
 *
 * A search looks at samples of a tensor and of its kin in the parents, and proposes
 * recipes; the store judges them on samples of its own, so a wrong guess costs only time.
 */
#ifndef SPARSE_MODEL_RECIPES_H
#define SPARSE_MODEL_RECIPES_H

#include "executor/spi.h"
#include "import.h"
#include "store/recipe.h"

typedef struct KinIndex KinIndex;

#define MAX_RECIPES 64
#define MAX_KIN 8
#define MAX_RANK_OF_TENSOR 8	/* dimensions of tensors that recipes are for */

/* A tensor that may have to do with the one at hand: of a parent, or beside it in its file. */
typedef struct Kin
{
	int64		object;
	sparse_dtype dtype;
	int			rank;
	uint64		shape[MAX_RANK_OF_TENSOR];
	uint64		elements;
	int64		version;		/* of the parent; 0: of the version at hand */
} Kin;

typedef struct RecipeSearch
{
	const Import *import;
	ObjectReader *reader;
	const PlanObject *object;
	ObjectSpec *spec;
	Kin			self;			/* the tensor at hand: its dtype and shape */
	uint64		elements;
	uint64		columns;		/* elements of a row; all, for a vector */
	bool		is_float;
	int			kin;			/* tensors of its name or content in the parents, of any dtype and shape */
	Kin			of_name[MAX_KIN];
	Recipe	   *recipe;			/* proposals */
	int			recipes;
} RecipeSearch;

/* A new recipe to be filled in; a scratch one where there is no more room. */
extern Recipe *recipes_add(RecipeSearch *search, sparse_predictor predictor);

/* Adds a source that is read element by element. */
extern void recipe_add_elements(Recipe *recipe, const Kin *kin);

/* Adds a source of `count` elements of a dtype for every `per` elements of content (0: always those). */
extern void recipe_add_source(Recipe *recipe, int64 object, sparse_dtype dtype, uint64 per, uint64 count);

/* `count` elements of the tensor at hand, or of an object, from element `first` on, as reals. */
extern void sample_content(const RecipeSearch *search, uint64 first, uint64 count, float *x);
extern void sample_object(const RecipeSearch *search, const Kin *kin, uint64 first, uint64 count, float *x);

/* A tensor of a parent by one of several names; false when there is none that recipes can use. */
extern bool recipes_find(int64 version, char **name, int names, Kin *kin);

/* A tensor from the columns object, dtype, shape of a row; false when it is none that recipes can use. */
extern bool kin_of_row(const SPITupleTable *rows, uint64 row, int64 version, Kin *kin);

/* The names by which tools know the same tensor: with and without their prefixes. */
extern int	recipes_names(const char *name, char **names, int room);

/* A tensor of the file at hand by its name; NULL when there is none. */
extern const PlanTensor *recipes_sibling(const RecipeSearch *search, const char *name);

/* Whether a name ends so; then what stands before, palloc'd. */
extern char *without_suffix(const char *name, const char *suffix);

/* The tensors of so many parents, to be looked through; filled in as they are needed, in that context. */
extern KinIndex *kin_index_create(MemoryContext context, int parents);

/*
 * What a parent has of the tensor under another name, or in pieces: kin, or recipes. And whether one of its name
 * begins like it.
 */
extern void search_renamed(RecipeSearch *search, int parent);
extern bool kin_is_alike(RecipeSearch *search, const Kin *kin);

/* The searches. */
extern void search_blend(RecipeSearch *search);
extern void search_pruned(RecipeSearch *search);
extern void search_scaled(RecipeSearch *search);
extern void search_adapter(RecipeSearch *search);
extern void search_lowrank(RecipeSearch *search);

/* Whether the object may be predicted from another of the same version, which must be stored before it. */
extern bool recipes_want_siblings(const Import *import, const PlanObject *object);

/* All searches; the recipes go to spec. Within SPI_connect, in a context of the object's. */
extern void import_recipes(const Import *import, ObjectReader *reader, const PlanObject *object, ObjectSpec *spec);

#endif
