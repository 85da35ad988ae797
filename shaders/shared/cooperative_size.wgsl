// The size of cooperative matrices, by the flags of a permutation.
#ifdef SIDE8
#import cooperative_tile 8
#else
#import cooperative_tile 16
#endif
