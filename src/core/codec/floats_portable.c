/*
 * floats_portable.c: the float coder's inner loops, for any machine.
 */
#define LOOPS float_loops_portable
#include "floats_loops.h"
