#include "plots/colour.h"

static const unsigned viridis[] = {0x440154, 0x472d7b, 0x3b528b, 0x2c728e, 0x21918c, 0x28ae80, 0x5ec962, 0x93d741};
enum { N_STOPS = sizeof viridis / sizeof *viridis };

const char *colour_palette(void)
{
    return "defined (0 '#440154', 1 '#472d7b', 2 '#3b528b', 3 '#2c728e', 4 '#21918c', 5 '#28ae80', 6 '#5ec962', 7 '#93d741')";
}

static unsigned mix(unsigned a, unsigned b, int shift, double t)
{
    double x = (a >> shift) & 255, y = (b >> shift) & 255;
    return (unsigned)(x + t * (y - x) + 0.5) << shift;
}

unsigned colour_sequence(double t)
{
    if (!(t > 0)) t = 0;
    if (t > 1) t = 1;
    double at = t * (N_STOPS - 1);
    int i = (int)at;
    if (i >= N_STOPS - 1) return viridis[N_STOPS - 1];
    unsigned a = viridis[i], b = viridis[i + 1];
    return mix(a, b, 16, at - i) | mix(a, b, 8, at - i) | mix(a, b, 0, at - i);
}
