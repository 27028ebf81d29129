/*
 * made_prediction.h: predictions that a fuzz input names by a seed, so that an
 * input of a few bytes can have a prediction of any length. The corpus was made
 * with these: changing them makes it worthless.
 */
#ifndef SPARSE_TEST_MADE_PREDICTION_H
#define SPARSE_TEST_MADE_PREDICTION_H

#include <stddef.h>
#include <stdint.h>

/*
 * The two lowest bits of the seed choose what the bytes look like: all zero, noise,
 * bf16 weights (little-endian pairs, exponents in a narrow band), or bytes of which
 * one in eight is not zero.
 */
static inline void
make_prediction(uint8_t seed, uint8_t *bytes, size_t length)
{
	uint32_t	state = seed * 2654435761u + 1;

	for (size_t i = 0; i < length; i++)
	{
		uint8_t		noise;

		state = state * 1664525u + 1013904223u;
		noise = (uint8_t) (state >> 24);
		switch (seed & 3)
		{
			case 0:
				bytes[i] = 0;
				break;
			case 1:
				bytes[i] = noise;
				break;
			case 2:
				bytes[i] = i % 2 == 0 ? noise : (uint8_t) ((noise & 0x80) | (0x3a + noise % 5));
				break;
			default:
				bytes[i] = noise < 32 ? (uint8_t) (noise * 7) : 0;
		}
	}
}

#endif
