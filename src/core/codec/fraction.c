/*
 * fraction.c: see fraction.h.
 */
#include "fraction.h"

#include "fraction_tables.h"

void
fraction_frequencies(unsigned table, uint16_t *frequency)
{
	const uint8_t *row = fraction_codes;
	uint8_t		code[RANS_SYMBOLS] = {0};

	for (; table > 0; table--)
		row += 1 + row[0];
	code[RANS_SYMBOLS - 1] = row[1];
	memcpy(code, row + 2, row[0] - 1u);
	tables_frequencies(code, frequency);
}

/*
 * Elements of one width. Differences are numbers modulo the width, of which the folding of signs in the residual coder makes elements one
 * to one (residual_width.h): a magnitude with its top bit set is one on the other side of zero.
 */
#define MIRROR(type) \
static void \
mirror_##type(const type *content, const type *prediction, const uint8_t *fraction, size_t count, type *mirrored) \
{ \
	const type sign = (type) ((type) 1 << (8 * sizeof(type) - 1)); \
	for (size_t i = 0; i < count; i++) \
	{ \
		const type p = prediction[i]; \
		const type across = (type) (0 - (((content[i] ^ p) & sign) != 0)); \
		const type magnitude = (type) ((content[i] ^ across) & ~sign) | (across & sign); \
		const type m = (type) (2 * (p & (type) ~sign) - magnitude); \
		const type back = (type) (0 - ((m & sign) != 0)); \
		const type other = (type) (((m ^ back) & ~sign) | ((p ^ back) & sign)); \
		const type below = (type) (0 - (type) (fraction[i] >= FRACTION_BELOW)); \
		mirrored[i] = (type) ((other & below) | (content[i] & ~below)); \
	} \
}

typedef uint16_t loose16 __attribute__((aligned(1), may_alias));
typedef uint32_t loose32 __attribute__((aligned(1), may_alias));

MIRROR(loose16)
MIRROR(loose32)

void
fraction_mirror(const void *content, const void *prediction, const uint8_t *fraction, size_t count, unsigned bytes, void *mirrored)
{
	if (bytes == 2)
		mirror_loose16(content, prediction, fraction, count, mirrored);
	else
		mirror_loose32(content, prediction, fraction, count, mirrored);
}
