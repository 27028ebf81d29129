/*
 * tables.c: merging, rounding, scaling and describing coding tables.
 */
#include "tables.h"

/* A rounded frequency: 0, or 1 to 15 as they are, then octaves of eight steps. */
#define WEIGHT_STEPS 8
#define WEIGHT_TOTAL (4 * RANS_SLOTS)	/* weights of a table add up to about this */
#define WEIGHT_CODES (16 + (RANS_BITS + 2 - 4) * WEIGHT_STEPS + 1)	/* up to WEIGHT_TOTAL itself */

/* What describing one symbol takes, about: 2.5 bits, in 1/65536. Decides only which contexts share a table. */
#define SYMBOL_COST (UINT64_C(5) << 15)

/*
 * The entropy of a sample is less than that of what it was taken from, by log2(e) / 2 for
 * each symbol: G. A. Miller, "Note on the bias of information estimates" (1955).
 */
#define SAMPLE_BIAS (UINT64_C(65536) * 72 / 100)

/* log2(1 + i / 64), in 1/65536. */
static const uint32_t log2_table[65] = {
	0, 1466, 2909, 4331, 5732, 7112, 8473, 9814, 11136, 12440, 13727,
	14996, 16248, 17484, 18704, 19909, 21098, 22272, 23433, 24579, 25711, 26830,
	27936, 29029, 30109, 31178, 32234, 33279, 34312, 35334, 36346, 37346, 38336,
	39316, 40286, 41246, 42196, 43137, 44068, 44990, 45904, 46809, 47705, 48593,
	49472, 50344, 51207, 52063, 52911, 53751, 54584, 55410, 56229, 57040, 57845,
	58643, 59434, 60219, 60997, 61769, 62534, 63294, 64047, 64794, 65536
};

uint32_t
fixed_log2(uint32_t value)
{
	uint32_t	octave = 31 - (uint32_t) __builtin_clz(value);
	uint32_t	fraction = value << (31 - octave) << 1;	/* of 2^32 */
	uint32_t	i = fraction >> 26;
	uint32_t	within = fraction >> 10 & 0xffff;

	return octave * 65536 + log2_table[i] + ((log2_table[i + 1] - log2_table[i]) * within >> 16);
}

/* The bits that a histogram's tokens and its table take, in 1/65536. */
static uint64_t
histogram_cost(const uint32_t *a, const uint32_t *b, unsigned symbols)
{
	uint64_t	total = 0;
	uint64_t	bits = 0;

	for (unsigned i = 0; i < symbols; i++)
	{
		uint32_t	n = a[i] + (b ? b[i] : 0);

		if (n == 0)
			continue;
		total += n;
		bits += SYMBOL_COST;
		bits -= (uint64_t) n * fixed_log2(n);
	}
	return total ? bits + total * fixed_log2((uint32_t) total) : 0;
}

static unsigned
symbols_used(uint32_t (*histogram)[RANS_SYMBOLS], unsigned contexts)
{
	unsigned	used = 1;

	for (unsigned c = 0; c < contexts; c++)
		for (unsigned i = used; i < RANS_SYMBOLS; i++)
			if (histogram[c][i])
				used = i + 1;
	return used;
}

/*
 * Joins neighbouring contexts while that saves bits, the best pair first.
 * first[g] is the context at which group g begins, its histogram is there too.
 */
static unsigned
merge_contexts(uint32_t (*histogram)[RANS_SYMBOLS], unsigned contexts, unsigned symbols, uint8_t *first)
{
	uint64_t	cost[TABLES_CONTEXTS];
	uint64_t	joint[TABLES_CONTEXTS]; /* of a group and the one behind it */
	unsigned	groups = contexts;

	for (unsigned g = 0; g < contexts; g++)
	{
		first[g] = (uint8_t) g;
		cost[g] = histogram_cost(histogram[g], NULL, symbols);
	}
	for (unsigned g = 0; g + 1 < groups; g++)
		joint[g] = histogram_cost(histogram[g], histogram[g + 1], symbols);
	for (;;)
	{
		int64_t		best_saving = -1;
		unsigned	best = 0;

		for (unsigned g = 0; g + 1 < groups; g++)
		{
			int64_t		saving = (int64_t) (cost[g] + cost[g + 1] - joint[g]);

			if (saving > best_saving)
			{
				best_saving = saving;
				best = g;
			}
		}
		if (best_saving < 0)
			return groups;
		for (unsigned i = 0; i < symbols; i++)
			histogram[first[best]][i] += histogram[first[best + 1]][i];
		cost[best] = joint[best];
		groups--;
		for (unsigned g = best + 1; g < groups; g++)
		{
			first[g] = first[g + 1];
			cost[g] = cost[g + 1];
			joint[g - 1] = joint[g];
		}
		if (best > 0)
			joint[best - 1] = histogram_cost(histogram[first[best - 1]], histogram[first[best]], symbols);
		if (best + 1 < groups)
			joint[best] = histogram_cost(histogram[first[best]], histogram[first[best + 1]], symbols);
	}
}

/* The code of the largest representable weight not above `weight`, rounding to nearest. */
static unsigned
weight_code(uint32_t weight)
{
	unsigned	octave;
	uint32_t	steps;

	if (weight < 16)
		return weight;
	octave = 31 - (unsigned) __builtin_clz(weight);
	steps = (weight + (UINT32_C(1) << (octave - 4))) >> (octave - 3);
	return 16 + (octave - 4) * WEIGHT_STEPS + (steps - WEIGHT_STEPS);
}

static uint32_t
weight_of_code(unsigned code)
{
	unsigned	octave;

	if (code < 16)
		return code;
	octave = 4 + (code - 16) / WEIGHT_STEPS;
	return (WEIGHT_STEPS + (code - 16) % WEIGHT_STEPS) << (octave - 3);
}

/*
 * Scales weights to frequencies that add up to RANS_SLOTS: at least 1 each, the
 * most frequent symbol takes what rounding leaves. At least two symbols get a
 * share, so that none has all the slots. False when there is no weight at all.
 */
static bool
scale_frequencies(const uint32_t *weight, uint16_t *frequency)
{
	uint32_t	total = 0;
	int32_t		left = RANS_SLOTS;
	unsigned	most = 0;
	unsigned	used = 0;

	/* weights are at most WEIGHT_TOTAL: neither the sum nor a product overflows */
	for (unsigned i = 0; i < RANS_SYMBOLS; i++)
	{
		total += weight[i];
		used += weight[i] > 0;
		if (weight[i] > weight[most])
			most = i;
	}
	if (total == 0)
		return false;
	for (unsigned i = 0; i < RANS_SYMBOLS; i++)
	{
		uint32_t	share;

		frequency[i] = 0;
		if (weight[i] == 0)
			continue;
		share = weight[i] * RANS_SLOTS / total;
		frequency[i] = share == 0 ? 1 : (uint16_t) share;
		left -= frequency[i];
	}
	if (used == 1)
	{
		frequency[most] = RANS_SLOTS - 1;
		frequency[(most + 1) % RANS_SYMBOLS] = 1;
		return true;
	}
	/* every rare symbol was raised to 1: the frequent ones pay, the first of them most */
	while (left < 0)
	{
		unsigned	largest = 0;

		for (unsigned i = 1; i < RANS_SYMBOLS; i++)
			if (frequency[i] > frequency[largest])
				largest = i;
		most = largest;
		frequency[most] -= 1;
		left++;
	}
	frequency[most] = (uint16_t) (frequency[most] + left);
	return true;
}

bool
tables_frequencies(const uint8_t *code, uint16_t *frequency)
{
	uint32_t	weight[RANS_SYMBOLS];

	for (unsigned i = 0; i < RANS_SYMBOLS; i++)
		weight[i] = weight_of_code(code[i]);
	return scale_frequencies(weight, frequency);
}

static void
codes_of_histogram(const uint32_t *histogram, uint8_t *code)
{
	uint64_t	total = 0;

	for (unsigned i = 0; i < RANS_SYMBOLS; i++)
		total += histogram[i];
	for (unsigned i = 0; i < RANS_SYMBOLS; i++)
	{
		uint64_t	scaled = total ? (uint64_t) histogram[i] * WEIGHT_TOTAL / total : 0;

		if (histogram[i] && scaled == 0)
			scaled = 1;
		code[i] = (uint8_t) weight_code((uint32_t) scaled);
	}
	if (total == 0)
		code[0] = 1;
}

uint64_t
tables_cost(uint32_t (*histogram)[RANS_SYMBOLS], unsigned contexts, unsigned symbols, unsigned times)
{
	uint64_t	cost = 0;

	for (unsigned c = 0; c < contexts; c++)
	{
		unsigned	used = 0;

		for (unsigned i = 0; i < symbols; i++)
			used += histogram[c][i] > 0;
		if (used == 0)
			continue;
		cost += (histogram_cost(histogram[c], NULL, symbols) - used * SYMBOL_COST) * times;
		/* a sample shows about half of the symbols */
		cost += used * ((times > 1 ? 4 : 2) * SYMBOL_COST + (times - 1) * SAMPLE_BIAS);
	}
	return cost;
}

void
tables_build(tables *t, uint32_t (*histogram)[RANS_SYMBOLS], unsigned contexts)
{
	uint8_t		first[TABLES_CONTEXTS];

	t->count = merge_contexts(histogram, contexts, symbols_used(histogram, contexts), first);
	for (unsigned g = 0; g < t->count; g++)
	{
		unsigned	end = g + 1 < t->count ? first[g + 1] : contexts;

		for (unsigned c = first[g]; c < end; c++)
			t->of_context[c] = (uint8_t) g;
		codes_of_histogram(histogram[first[g]], t->code[g]);
		tables_frequencies(t->code[g], t->frequency[g]);
	}
}

/*
 * The model of a description. Tokens are signed numbers folded (0, -1, 1, -2,
 * 2 ...): an even symbol is about as frequent as the one before it, an odd one
 * continues the slope of the symbols before.
 */
typedef struct description
{
	rc_number	increment;		/* of of_context */
	rc_number	length;			/* symbols until the last present one */
	rc_bit		present[4];		/* given that the two before it were */
	rc_bit		sign[2];
	rc_number	difference[2];
} description;

static void
description_init(description *m)
{
	rc_number_init(&m->increment);
	rc_number_init(&m->length);
	for (int i = 0; i < 4; i++)
		m->present[i] = RC_EVEN;
	for (int i = 0; i < 2; i++)
	{
		m->sign[i] = RC_EVEN;
		rc_number_init(&m->difference[i]);
	}
}

static unsigned
present_context(const uint8_t *code, unsigned i)
{
	return (i >= 1 && code[i - 1] > 0) + 2 * (i >= 2 && code[i - 2] > 0);
}

/* What code[i] should be, from those before it: 1 to WEIGHT_CODES - 1. */
static int
expected_code(const uint8_t *code, unsigned i)
{
	int			expected;

	if (i == 0)
		return WEIGHT_CODES - WEIGHT_STEPS;
	expected = code[i - 1];
	if (i % 2 == 1 && i >= 5)
		expected += (code[i - 1] + code[i - 2] - code[i - 3] - code[i - 4]) / 2;
	if (expected < 1)
		return 1;
	return expected < WEIGHT_CODES ? expected : WEIGHT_CODES - 1;
}

static void
write_codes(const uint8_t *code, description *m, rc_encoder *e)
{
	unsigned	length = RANS_SYMBOLS;

	while (length > 1 && code[length - 1] == 0)
		length--;
	rc_encode_number(e, &m->length, length - 1);
	for (unsigned i = 0; i < length; i++)
	{
		int			difference = code[i] - expected_code(code, i);

		if (i + 1 < length)
			rc_encode_bit(e, &m->present[present_context(code, i)], code[i] > 0);
		if (code[i] == 0)
			continue;
		rc_encode_number(e, &m->difference[i % 2], (uint32_t) (difference < 0 ? -difference : difference));
		if (difference != 0)
			rc_encode_bit(e, &m->sign[i % 2], difference < 0);
	}
}

static sparse_status
read_codes(uint8_t *code, description *m, rc_decoder *d)
{
	uint32_t	length = rc_decode_number(d, &m->length) + 1;

	SPARSE_CHECK(length <= RANS_SYMBOLS);
	memset(code, 0, RANS_SYMBOLS);
	for (unsigned i = 0; i < length; i++)
	{
		int64_t		difference;
		int64_t		value;

		if (i + 1 < length && !rc_decode_bit(d, &m->present[present_context(code, i)]))
			continue;
		difference = rc_decode_number(d, &m->difference[i % 2]);
		if (difference != 0 && rc_decode_bit(d, &m->sign[i % 2]))
			difference = -difference;
		value = expected_code(code, i) + difference;
		SPARSE_CHECK(value >= 1 && value < WEIGHT_CODES);
		code[i] = (uint8_t) value;
	}
	return SPARSE_OK;
}

void
tables_write(const tables *t, unsigned contexts, rc_encoder *e)
{
	description m;

	description_init(&m);
	for (unsigned c = 1; c < contexts; c++)
		rc_encode_number(e, &m.increment, t->of_context[c] - t->of_context[c - 1]);
	for (unsigned g = 0; g < t->count; g++)
		write_codes(t->code[g], &m, e);
}

sparse_status
tables_read(tables *t, unsigned contexts, rc_decoder *d)
{
	description m;

	description_init(&m);
	t->of_context[0] = 0;
	for (unsigned c = 1; c < contexts; c++)
	{
		uint32_t	increment = rc_decode_number(d, &m.increment);

		SPARSE_CHECK(increment <= 1);
		t->of_context[c] = (uint8_t) (t->of_context[c - 1] + increment);
	}
	t->count = t->of_context[contexts - 1] + 1u;
	for (unsigned g = 0; g < t->count; g++)
	{
		SPARSE_TRY(read_codes(t->code[g], &m, d));
		SPARSE_CHECK(tables_frequencies(t->code[g], t->frequency[g]));
	}
	return cursor_ok(&d->in) ? SPARSE_OK : SPARSE_TRUNCATED;
}
