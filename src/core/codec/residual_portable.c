/*
 * residual_portable.c: the residual coder's inner loops, for any machine.
 */
#define LOOPS residual_loops_portable
#include "residual_loops.h"
