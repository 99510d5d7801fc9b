/* What the fused sums need of vectors beside base/vec64.h: C has no ?: on vectors and GCC finds neither max nor blend
 * behind masks, so the instructions are named. Included once per level by fit/powers_v*.c. */
#include "base/vec64.h"

#if VEC_BYTES == 64
INLINE vec vmax(vec a, vec b) { return (vec)_mm512_max_pd((__m512d)a, (__m512d)b); } /* b when either is NaN */
INLINE vec vmin(vec a, vec b) { return (vec)_mm512_min_pd((__m512d)a, (__m512d)b); }
INLINE vec if_less(vec a, vec b, vec yes, vec no) /* a < b ? yes : no; no when either is NaN */
{
    return (vec)_mm512_mask_blend_pd(_mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_LT_OQ), (__m512d)no, (__m512d)yes);
}
#elif VEC_BYTES == 32
INLINE vec vmax(vec a, vec b) { return (vec)_mm256_max_pd((__m256d)a, (__m256d)b); }
INLINE vec vmin(vec a, vec b) { return (vec)_mm256_min_pd((__m256d)a, (__m256d)b); }
INLINE vec if_less(vec a, vec b, vec yes, vec no)
{
    return (vec)_mm256_blendv_pd((__m256d)no, (__m256d)yes, _mm256_cmp_pd((__m256d)a, (__m256d)b, _CMP_LT_OQ));
}
#else
INLINE vec vmax(vec a, vec b) { return (vec)_mm_max_pd((__m128d)a, (__m128d)b); }
INLINE vec vmin(vec a, vec b) { return (vec)_mm_min_pd((__m128d)a, (__m128d)b); }
INLINE vec if_less(vec a, vec b, vec yes, vec no)
{
    return (vec)_mm_blendv_pd((__m128d)no, (__m128d)yes, _mm_cmplt_pd((__m128d)a, (__m128d)b));
}
#endif
