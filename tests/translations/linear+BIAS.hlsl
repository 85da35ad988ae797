struct Params {
    uint rows;
    uint first_column;
};

static const uint K = 32u;
static const uint N = 100u;
static const uint STRIDE = 100u;
static const uint GROUP_X = 8u;
static const uint GROUP_Y = 8u;
static const uint ROWS = 4u;
static const uint COLUMNS = 4u;
static const uint DEPTH = 16u;
static const uint LEFT_SIZE = 256u;
static const uint RIGHT_SIZE = 256u;

ByteAddressBuffer w : register(t2);
cbuffer params : register(b0) { Params params; }
ByteAddressBuffer x : register(t1);
ByteAddressBuffer bias : register(t3);
RWByteAddressBuffer y : register(u4);
groupshared float4 tile_left[256];
groupshared float4 tile_right[256];
static float4 sum_1[16] = (float4[16])0;
static float4x4 next = (float4x4)0;
static uint buffer = (uint)0;
static uint3 here = (uint3)0;
static uint2 corner = (uint2)0;
static uint slice = (uint)0;

float4 w_row4_(uint row, uint vector_, uint vectors)
{
    float4 _e7 = asfloat(w.Load4(((row * vectors) + vector_)*16));
    return _e7;
}

uint inner(uint part)
{
    return K;
}

uint row_count()
{
    uint _e2 = params.rows;
    return _e2;
}

uint vectors_1()
{
    return 25u;
}

uint naga_div(uint lhs, uint rhs) {
    return lhs / (rhs == 0u ? 1u : rhs);
}

float4 x_at(uint row_1, uint k)
{
    uint _e5 = params.rows;
    float4 _e18 = asfloat(x.Load4(((min(row_1, (_e5 - 1u)) * 8u) + naga_div(k, 4u))*16));
    return _e18;
}

float4x4 ZeroValuefloat4x4() {
    return (float4x4)0;
}

float4x4 left_block(uint row_2, uint k_1)
{
    float4x4 block = ZeroValuefloat4x4();
    uint i = 0u;

    if ((k_1 >= K)) {
        return ZeroValuefloat4x4();
    }
    uint2 loop_bound = uint2(4294967295u, 4294967295u);
    bool loop_init = true;
    while(true) {
        if (all(loop_bound == uint2(0u, 0u))) { break; }
        loop_bound -= uint2(loop_bound.y == 0u, 1u);
        if (!loop_init) {
            uint _e18 = i;
            i = (_e18 + 1u);
        }
        loop_init = false;
        uint _e9 = i;
        if ((_e9 < 4u)) {
        } else {
            break;
        }
        {
            uint _e12 = i;
            uint _e14 = i;
            const float4 _e16 = x_at((row_2 + _e14), k_1);
            block[min(uint(_e12), 3u)] = _e16;
        }
    }
    float4x4 _e20 = block;
    return transpose(_e20);
}

float4 w_at(uint column, uint k_2)
{
    const float4 _e13 = w_row4_(min(column, 99u), naga_div(k_2, 4u), 8u);
    return _e13;
}

float4x4 right_block(uint vector_1, uint k_3)
{
    float4x4 block_1 = ZeroValuefloat4x4();
    uint j = 0u;

    if ((k_3 >= K)) {
        return ZeroValuefloat4x4();
    }
    uint2 loop_bound_1 = uint2(4294967295u, 4294967295u);
    bool loop_init_1 = true;
    while(true) {
        if (all(loop_bound_1 == uint2(0u, 0u))) { break; }
        loop_bound_1 -= uint2(loop_bound_1.y == 0u, 1u);
        if (!loop_init_1) {
            uint _e20 = j;
            j = (_e20 + 1u);
        }
        loop_init_1 = false;
        uint _e9 = j;
        if ((_e9 < 4u)) {
        } else {
            break;
        }
        {
            uint _e12 = j;
            uint _e16 = j;
            const float4 _e18 = w_at(((4u * vector_1) + _e16), k_3);
            block_1[min(uint(_e12), 3u)] = _e18;
        }
    }
    float4x4 _e22 = block_1;
    return transpose(_e22);
}

void store(uint row_3, uint vector_2, float4 sum)
{
    uint c_1 = 0u;
    float value = (float)0;

    uint2 loop_bound_2 = uint2(4294967295u, 4294967295u);
    bool loop_init_2 = true;
    while(true) {
        if (all(loop_bound_2 == uint2(0u, 0u))) { break; }
        loop_bound_2 -= uint2(loop_bound_2.y == 0u, 1u);
        if (!loop_init_2) {
            uint _e37 = c_1;
            c_1 = (_e37 + 1u);
        }
        loop_init_2 = false;
        uint _e5 = c_1;
        if ((_e5 < 4u)) {
        } else {
            break;
        }
        {
            uint _e10 = c_1;
            if ((((4u * vector_2) + _e10) < N)) {
                uint _e16 = params.first_column;
                uint _e20 = c_1;
                uint out_ = ((_e16 + (4u * vector_2)) + _e20);
                uint _e22 = c_1;
                value = sum[min(uint(_e22), 3u)];
                float _e25 = value;
                float _e28 = asfloat(bias.Load(out_*4));
                value = (_e25 + _e28);
                float _e35 = value;
                y.Store(((row_3 * STRIDE) + out_)*4, asuint(_e35));
            }
        }
    }
    return;
}

uint naga_mod(uint lhs, uint rhs) {
    return lhs % (rhs == 0u ? 1u : rhs);
}

uint row_of(uint r_1)
{
    uint _e4 = here.y;
    return ((4u * (_e4 + (naga_div(r_1, 4u) * GROUP_Y))) + naga_mod(r_1, 4u));
}

uint vector_of(uint c_2)
{
    uint _e3 = here.x;
    return (_e3 + (c_2 * GROUP_X));
}

uint vectors_sum()
{
    return 1u;
}

float4 staged_left(uint k_4, uint r_2)
{
    uint _e4 = buffer;
    uint _e21 = here.y;
    float4 _e27 = tile_left[min(uint(((((_e4 * 128u) + (k_4 * 8u)) + _e21) + (r_2 * GROUP_Y))), 255u)];
    return _e27;
}

uint left_blocks()
{
    return 32u;
}

void keep_left(uint block_2)
{
    uint j_1 = 0u;

    uint _e9 = buffer;
    uint at = (((_e9 * 128u) + ((4u * naga_div(block_2, 8u)) * 8u)) + naga_mod(block_2, 8u));
    uint2 loop_bound_3 = uint2(4294967295u, 4294967295u);
    bool loop_init_3 = true;
    while(true) {
        if (all(loop_bound_3 == uint2(0u, 0u))) { break; }
        loop_bound_3 -= uint2(loop_bound_3.y == 0u, 1u);
        if (!loop_init_3) {
            uint _e37 = j_1;
            j_1 = (_e37 + 1u);
        }
        loop_init_3 = false;
        uint _e24 = j_1;
        if ((_e24 < 4u)) {
        } else {
            break;
        }
        {
            uint _e28 = j_1;
            uint _e33 = j_1;
            float4 _e35 = next[min(uint(_e33), 3u)];
            tile_left[min(uint((at + (_e28 * 8u))), 255u)] = _e35;
        }
    }
    return;
}

void keep_right(uint block_3, uint wide)
{
    uint j_2 = 0u;

    uint _e3 = buffer;
    uint at_1 = (((_e3 * 128u) + ((4u * naga_div(block_3, wide)) * wide)) + naga_mod(block_3, wide));
    uint2 loop_bound_4 = uint2(4294967295u, 4294967295u);
    bool loop_init_4 = true;
    while(true) {
        if (all(loop_bound_4 == uint2(0u, 0u))) { break; }
        loop_bound_4 -= uint2(loop_bound_4.y == 0u, 1u);
        if (!loop_init_4) {
            uint _e31 = j_2;
            j_2 = (_e31 + 1u);
        }
        loop_init_4 = false;
        uint _e18 = j_2;
        if ((_e18 < 4u)) {
        } else {
            break;
        }
        {
            uint _e22 = j_2;
            uint _e27 = j_2;
            float4 _e29 = next[min(uint(_e27), 3u)];
            tile_right[min(uint((at_1 + (_e22 * wide))), 255u)] = _e29;
        }
    }
    return;
}

float4 left_of_sum(uint k_5, uint r_3)
{
    const float4 _e2 = staged_left(k_5, r_3);
    return _e2;
}

typedef float4 ret_ZeroValuearray4_float4_[4];
ret_ZeroValuearray4_float4_ ZeroValuearray4_float4_() {
    return (float4[4])0;
}

void outer_sum(uint k_6)
{
    float4 b[4] = ZeroValuearray4_float4_();
    uint c_3 = 0u;
    uint r_4 = 0u;
    uint c_4 = (uint)0;

    const uint _e2 = vectors_sum();
    uint wide_1 = (GROUP_X * _e2);
    uint _e5 = buffer;
    uint _e15 = here.x;
    uint right = (((_e5 * 128u) + (k_6 * wide_1)) + _e15);
    uint2 loop_bound_5 = uint2(4294967295u, 4294967295u);
    bool loop_init_5 = true;
    while(true) {
        if (all(loop_bound_5 == uint2(0u, 0u))) { break; }
        loop_bound_5 -= uint2(loop_bound_5.y == 0u, 1u);
        if (!loop_init_5) {
            uint _e34 = c_3;
            c_3 = (_e34 + 1u);
        }
        loop_init_5 = false;
        uint _e21 = c_3;
        const uint _e22 = vectors_sum();
        if ((_e21 < _e22)) {
        } else {
            break;
        }
        {
            uint _e24 = c_3;
            uint _e27 = c_3;
            float4 _e32 = tile_right[min(uint((right + (_e27 * GROUP_X))), 255u)];
            b[min(uint(_e24), 3u)] = _e32;
        }
    }
    uint2 loop_bound_6 = uint2(4294967295u, 4294967295u);
    bool loop_init_6 = true;
    while(true) {
        if (all(loop_bound_6 == uint2(0u, 0u))) { break; }
        loop_bound_6 -= uint2(loop_bound_6.y == 0u, 1u);
        if (!loop_init_6) {
            uint _e126 = r_4;
            r_4 = (_e126 + 1u);
        }
        loop_init_6 = false;
        uint _e38 = r_4;
        if ((_e38 < 1u)) {
        } else {
            break;
        }
        {
            uint _e44 = r_4;
            const float4 _e45 = left_of_sum(k_6, _e44);
            c_4 = 0u;
            uint2 loop_bound_7 = uint2(4294967295u, 4294967295u);
            bool loop_init_7 = true;
            while(true) {
                if (all(loop_bound_7 == uint2(0u, 0u))) { break; }
                loop_bound_7 -= uint2(loop_bound_7.y == 0u, 1u);
                if (!loop_init_7) {
                    uint _e123 = c_4;
                    c_4 = (_e123 + 1u);
                }
                loop_init_7 = false;
                uint _e48 = c_4;
                const uint _e49 = vectors_sum();
                if ((_e48 < _e49)) {
                } else {
                    break;
                }
                {
                    uint _e52 = r_4;
                    const uint _e54 = vectors_sum();
                    uint _e56 = c_4;
                    uint at_2 = (((4u * _e52) * _e54) + _e56);
                    uint _e62 = c_4;
                    float4 _e64 = b[min(uint(_e62), 3u)];
                    float4 _e67 = sum_1[min(uint(at_2), 15u)];
                    sum_1[min(uint(at_2), 15u)] = mad((_e45.x).xxxx, _e64, _e67);
                    const uint _e70 = vectors_sum();
                    uint _e75 = c_4;
                    float4 _e77 = b[min(uint(_e75), 3u)];
                    const uint _e79 = vectors_sum();
                    float4 _e82 = sum_1[min(uint((at_2 + _e79)), 15u)];
                    sum_1[min(uint((at_2 + _e70)), 15u)] = mad((_e45.y).xxxx, _e77, _e82);
                    const uint _e86 = vectors_sum();
                    uint _e92 = c_4;
                    float4 _e94 = b[min(uint(_e92), 3u)];
                    const uint _e97 = vectors_sum();
                    float4 _e101 = sum_1[min(uint((at_2 + (2u * _e97))), 15u)];
                    sum_1[min(uint((at_2 + (2u * _e86))), 15u)] = mad((_e45.z).xxxx, _e94, _e101);
                    const uint _e105 = vectors_sum();
                    uint _e111 = c_4;
                    float4 _e113 = b[min(uint(_e111), 3u)];
                    const uint _e116 = vectors_sum();
                    float4 _e120 = sum_1[min(uint((at_2 + (3u * _e116))), 15u)];
                    sum_1[min(uint((at_2 + (3u * _e105))), 15u)] = mad((_e45.w).xxxx, _e113, _e120);
                }
            }
        }
    }
    return;
}

void multiply_sum()
{
    uint k_7 = 0u;
    uint j_3 = (uint)0;

    uint2 loop_bound_8 = uint2(4294967295u, 4294967295u);
    bool loop_init_8 = true;
    while(true) {
        if (all(loop_bound_8 == uint2(0u, 0u))) { break; }
        loop_bound_8 -= uint2(loop_bound_8.y == 0u, 1u);
        if (!loop_init_8) {
            uint _e16 = k_7;
            k_7 = (_e16 + 4u);
        }
        loop_init_8 = false;
        uint _e2 = k_7;
        if ((_e2 < DEPTH)) {
        } else {
            break;
        }
        {
            j_3 = 0u;
            uint2 loop_bound_9 = uint2(4294967295u, 4294967295u);
            bool loop_init_9 = true;
            while(true) {
                if (all(loop_bound_9 == uint2(0u, 0u))) { break; }
                loop_bound_9 -= uint2(loop_bound_9.y == 0u, 1u);
                if (!loop_init_9) {
                    uint _e14 = j_3;
                    j_3 = (_e14 + 1u);
                }
                loop_init_9 = false;
                uint _e7 = j_3;
                if ((_e7 < 4u)) {
                } else {
                    break;
                }
                {
                    uint _e10 = k_7;
                    uint _e11 = j_3;
                    outer_sum((_e10 + _e11));
                }
            }
        }
    }
    return;
}

uint vectors_whole()
{
    const uint _e0 = vectors_sum();
    return _e0;
}

float4x4 left_whole(uint row_4, uint k_8)
{
    uint _e4 = corner.x;
    const float4x4 _e6 = left_block((_e4 + row_4), k_8);
    return _e6;
}

float4x4 right_whole(uint vector_3, uint k_9)
{
    uint _e4 = corner.y;
    const uint _e6 = vectors_1();
    const float4x4 _e10 = right_block(min((_e4 + vector_3), (_e6 - 1u)), k_9);
    return _e10;
}

void fetch_whole(uint k_10)
{
    const uint _e9 = vectors_whole();
    uint wide_2 = (GROUP_X * _e9);
    uint _e13 = here.z;
    const uint _e14 = left_blocks();
    uint block_4 = (_e13 - _e14);
    uint _e18 = here.z;
    const uint _e19 = left_blocks();
    if ((_e18 < _e19)) {
        uint _e25 = here.z;
        uint _e31 = here.z;
        const float4x4 _e35 = left_whole((4u * naga_mod(_e25, 8u)), (k_10 + (4u * naga_div(_e31, 8u))));
        next = _e35;
        return;
    } else {
        if ((block_4 < (wide_2 * 4u))) {
            const float4x4 _e48 = right_whole(naga_mod(block_4, wide_2), (k_10 + (4u * naga_div(block_4, wide_2))));
            next = _e48;
            return;
        } else {
            return;
        }
    }
}

void keep_whole()
{
    const uint _e1 = vectors_whole();
    uint wide_3 = (GROUP_X * _e1);
    uint _e5 = here.z;
    const uint _e6 = left_blocks();
    uint block_5 = (_e5 - _e6);
    uint _e11 = buffer;
    buffer = (1u - _e11);
    uint _e15 = here.z;
    const uint _e16 = left_blocks();
    if ((_e15 < _e16)) {
        uint _e20 = here.z;
        keep_left(_e20);
        return;
    } else {
        if ((block_5 < (wide_3 * 4u))) {
            keep_right(block_5, wide_3);
            return;
        } else {
            return;
        }
    }
}

void multiply_whole()
{
    multiply_sum();
    return;
}

void add_whole(uint inner_1)
{
    uint k_11 = 0u;

    fetch_whole(0u);
    keep_whole();
    GroupMemoryBarrierWithGroupSync();
    uint2 loop_bound_10 = uint2(4294967295u, 4294967295u);
    bool loop_init_10 = true;
    while(true) {
        if (all(loop_bound_10 == uint2(0u, 0u))) { break; }
        loop_bound_10 -= uint2(loop_bound_10.y == 0u, 1u);
        if (!loop_init_10) {
            uint _e13 = k_11;
            k_11 = (_e13 + DEPTH);
        }
        loop_init_10 = false;
        uint _e4 = k_11;
        if ((_e4 < inner_1)) {
        } else {
            break;
        }
        {
            uint _e6 = k_11;
            bool more = ((_e6 + DEPTH) < inner_1);
            if (more) {
                uint _e10 = k_11;
                fetch_whole((_e10 + DEPTH));
            }
            multiply_whole();
            if (more) {
                keep_whole();
                GroupMemoryBarrierWithGroupSync();
            }
        }
    }
    return;
}

[numthreads(8, 8, 1)]
void main(uint3 group : SV_GroupID, uint3 local : SV_GroupThreadID, uint index : SV_GroupIndex)
{
    if (index == 0) {
        tile_left = (float4[256])0;
        tile_right = (float4[256])0;
    }
    GroupMemoryBarrierWithGroupSync();
    uint r = 0u;
    uint c = (uint)0;
    bool local_1 = (bool)0;

    here = uint3(local.xy, index);
    slice = group.z;
    corner = uint2(((group.y * GROUP_Y) * ROWS), (group.x * 8u));
    const uint _e25 = inner(group.z);
    add_whole(_e25);
    uint2 loop_bound_11 = uint2(4294967295u, 4294967295u);
    bool loop_init_11 = true;
    while(true) {
        if (all(loop_bound_11 == uint2(0u, 0u))) { break; }
        loop_bound_11 -= uint2(loop_bound_11.y == 0u, 1u);
        if (!loop_init_11) {
            uint _e74 = r;
            r = (_e74 + 1u);
        }
        loop_init_11 = false;
        uint _e28 = r;
        if ((_e28 < ROWS)) {
        } else {
            break;
        }
        {
            uint _e33 = corner.x;
            uint _e34 = r;
            const uint _e35 = row_of(_e34);
            uint row_5 = (_e33 + _e35);
            c = 0u;
            uint2 loop_bound_12 = uint2(4294967295u, 4294967295u);
            bool loop_init_12 = true;
            while(true) {
                if (all(loop_bound_12 == uint2(0u, 0u))) { break; }
                loop_bound_12 -= uint2(loop_bound_12.y == 0u, 1u);
                if (!loop_init_12) {
                    uint _e71 = c;
                    c = (_e71 + 1u);
                }
                loop_init_12 = false;
                uint _e39 = c;
                if ((_e39 < 1u)) {
                } else {
                    break;
                }
                {
                    uint _e47 = corner.y;
                    uint _e48 = c;
                    const uint _e49 = vector_of(_e48);
                    uint vector_4 = (_e47 + _e49);
                    const uint _e51 = row_count();
                    if ((row_5 < _e51)) {
                        const uint _e55 = vectors_1();
                        local_1 = (vector_4 < _e55);
                    } else {
                        local_1 = false;
                    }
                    bool _e58 = local_1;
                    if (_e58) {
                        uint _e60 = r;
                        uint _e66 = c;
                        float4 _e69 = sum_1[min(uint(((_e60 * 1u) + _e66)), 15u)];
                        store(row_5, vector_4, _e69);
                    }
                }
            }
        }
    }
    return;
}
