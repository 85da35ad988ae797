// What permutations in mixed precision need beyond WebGPU. A module begins with it.
#ifdef MIXED
enable f16;
enable wgpu_cooperative_matrix;
#endif
