struct Lane {
    uint slot;
    uint position;
    uint ring;
    uint unused;
};

struct Params {
    uint tokens;
    uint lane_base;
    uint blocks;
    uint stride;
    uint parts;
};

struct Near {
    uint queries;
    int row;
    uint keys;
    uint own;
    uint end;
    uint vector_;
    uint later;
};

static const uint HEADS = 2u;
static const uint GROUP = 1u;
static const uint HEAD = 16u;
static const uint BLOCK = 16u;
static const uint QUERY_WIDTH = 24u;
static const uint KEY_WIDTH = 44u;
static const uint V_OFFSET = 24u;
static const uint G_OFFSET = 40u;
static const bool GATED = true;
static const uint NEAR = 1u;
static const uint LEAD = 0u;
static const uint LOCAL = 16u;
static const uint LOCAL_OFFSET = 0u;
static const float BIAS = 1.0;
static const uint ROW_TILE = 16u;
static const uint GROUP_X = 4u;
static const uint GROUP_Y = 4u;
static const uint ROWS = 4u;
static const uint COLUMNS = 4u;
static const uint DEPTH = 8u;
static const uint LEFT_SIZE = 64u;
static const uint RIGHT_SIZE = 64u;
static const float SCALE = 0.25;
static const uint DEGREE = 4u;
static const uint SOURCE = 8u;
static const uint SOURCE_OFFSET = 16u;
static const uint FEATURES = 36u;
static const uint ORDER = 2u;
static const bool EXTENDED = false;

cbuffer params : register(b0) { Params params; }
ByteAddressBuffer queries : register(t1);
ByteAddressBuffer keys : register(t2);
ByteAddressBuffer lanes : register(t3);
ByteAddressBuffer table : register(t4);
ByteAddressBuffer prefix : register(t5);
RWByteAddressBuffer o : register(u6);
groupshared float4 tile_left[64];
groupshared float4 tile_right[64];
static float4 sum[16] = (float4[16])0;
static float4x4 next = (float4x4)0;
static uint buffer = (uint)0;
static uint3 here = (uint3)0;
static float4 dots[8] = (float4[8])0;
static Near near = (Near)0;
static uint first_key = (uint)0;
groupshared float2 row_state[16];
static float4 total[2] = (float4[2])0;
static float4 far_total = (float4)0;
static uint z = (uint)0;

float gate_decay(float2 a, float2 b)
{
    return exp(min(((a.x - b.x) + (a.y - b.y)), 0.0));
}

uint naga_div(uint lhs, uint rhs) {
    return lhs / (rhs == 0u ? 1u : rhs);
}

uint naga_mod(uint lhs, uint rhs) {
    return lhs % (rhs == 0u ? 1u : rhs);
}

uint row_of(uint r)
{
    uint _e4 = here.y;
    return ((4u * (_e4 + (naga_div(r, 4u) * GROUP_Y))) + naga_mod(r, 4u));
}

uint vector_of(uint c)
{
    uint _e3 = here.x;
    return (_e3 + (c * GROUP_X));
}

uint vectors_sum()
{
    return 1u;
}

float4 staged_left(uint k, uint r_1)
{
    uint _e4 = buffer;
    uint _e21 = here.y;
    float4 _e27 = tile_left[min(uint(((((_e4 * 32u) + (k * 4u)) + _e21) + (r_1 * GROUP_Y))), 63u)];
    return _e27;
}

uint left_blocks()
{
    return 8u;
}

void keep_left(uint block)
{
    uint j = 0u;

    uint _e9 = buffer;
    uint at_2 = (((_e9 * 32u) + ((4u * naga_div(block, 4u)) * 4u)) + naga_mod(block, 4u));
    uint2 loop_bound = uint2(4294967295u, 4294967295u);
    bool loop_init = true;
    while(true) {
        if (all(loop_bound == uint2(0u, 0u))) { break; }
        loop_bound -= uint2(loop_bound.y == 0u, 1u);
        if (!loop_init) {
            uint _e37 = j;
            j = (_e37 + 1u);
        }
        loop_init = false;
        uint _e24 = j;
        if ((_e24 < 4u)) {
        } else {
            break;
        }
        {
            uint _e28 = j;
            uint _e33 = j;
            float4 _e35 = next[min(uint(_e33), 3u)];
            tile_left[min(uint((at_2 + (_e28 * 4u))), 63u)] = _e35;
        }
    }
    return;
}

void keep_right(uint block_1, uint wide)
{
    uint j_1 = 0u;

    uint _e3 = buffer;
    uint at_3 = (((_e3 * 32u) + ((4u * naga_div(block_1, wide)) * wide)) + naga_mod(block_1, wide));
    uint2 loop_bound_1 = uint2(4294967295u, 4294967295u);
    bool loop_init_1 = true;
    while(true) {
        if (all(loop_bound_1 == uint2(0u, 0u))) { break; }
        loop_bound_1 -= uint2(loop_bound_1.y == 0u, 1u);
        if (!loop_init_1) {
            uint _e31 = j_1;
            j_1 = (_e31 + 1u);
        }
        loop_init_1 = false;
        uint _e18 = j_1;
        if ((_e18 < 4u)) {
        } else {
            break;
        }
        {
            uint _e22 = j_1;
            uint _e27 = j_1;
            float4 _e29 = next[min(uint(_e27), 3u)];
            tile_right[min(uint((at_3 + (_e22 * wide))), 63u)] = _e29;
        }
    }
    return;
}

uint vectors_dots()
{
    return 1u;
}

float4x4 dots_of(uint r_2)
{
    float4 _e5 = dots[min(uint((4u * r_2)), 7u)];
    float4 _e12 = dots[min(uint(((4u * r_2) + 1u)), 7u)];
    float4 _e19 = dots[min(uint(((4u * r_2) + 2u)), 7u)];
    float4 _e26 = dots[min(uint(((4u * r_2) + 3u)), 7u)];
    return transpose(float4x4(_e5, _e12, _e19, _e26));
}

void keep_columns(uint k_1)
{
    uint r_3 = 0u;
    uint j_2 = (uint)0;

    uint _e10 = here.x;
    uint x_1 = (_e10 - naga_div(k_1, 4u));
    if ((x_1 >= 2u)) {
        return;
    }
    uint2 loop_bound_2 = uint2(4294967295u, 4294967295u);
    bool loop_init_2 = true;
    while(true) {
        if (all(loop_bound_2 == uint2(0u, 0u))) { break; }
        loop_bound_2 -= uint2(loop_bound_2.y == 0u, 1u);
        if (!loop_init_2) {
            uint _e64 = r_3;
            r_3 = (_e64 + 1u);
        }
        loop_init_2 = false;
        uint _e21 = r_3;
        if ((_e21 < 1u)) {
        } else {
            break;
        }
        {
            uint _e28 = buffer;
            uint _e40 = here.y;
            uint _e42 = r_3;
            uint at_4 = ((((_e28 * 32u) + ((4u * x_1) * 4u)) + _e40) + (_e42 * GROUP_Y));
            uint _e46 = r_3;
            const float4x4 _e47 = dots_of(_e46);
            j_2 = 0u;
            uint2 loop_bound_3 = uint2(4294967295u, 4294967295u);
            bool loop_init_3 = true;
            while(true) {
                if (all(loop_bound_3 == uint2(0u, 0u))) { break; }
                loop_bound_3 -= uint2(loop_bound_3.y == 0u, 1u);
                if (!loop_init_3) {
                    uint _e61 = j_2;
                    j_2 = (_e61 + 1u);
                }
                loop_init_3 = false;
                uint _e50 = j_2;
                if ((_e50 < 4u)) {
                } else {
                    break;
                }
                {
                    uint _e54 = j_2;
                    uint _e58 = j_2;
                    tile_left[min(uint((at_4 + (_e54 * 4u))), 63u)] = _e47[min(uint(_e58), 3u)];
                }
            }
        }
    }
    return;
}

uint vectors_values()
{
    const uint _e0 = vectors_sum();
    return _e0;
}

uint key_row(uint key)
{
    uint _e3 = near.keys;
    uint _e6 = near.end;
    return (_e3 + min(key, (_e6 - 1u)));
}

float4 value_at(uint key_1, uint vector_)
{
    uint _e4 = near.vector_;
    uint at_5 = min((_e4 + vector_), 3u);
    uint _e15 = first_key;
    const uint _e17 = key_row((_e15 + key_1));
    float4 _e26 = asfloat(keys.Load4((naga_div(((_e17 * KEY_WIDTH) + V_OFFSET), 4u) + at_5)*16));
    return _e26;
}

float4x4 ZeroValuefloat4x4() {
    return (float4x4)0;
}

float4x4 right_values(uint vector_1, uint k_2)
{
    float4x4 block_2 = ZeroValuefloat4x4();
    uint j_3 = 0u;

    uint2 loop_bound_4 = uint2(4294967295u, 4294967295u);
    bool loop_init_4 = true;
    while(true) {
        if (all(loop_bound_4 == uint2(0u, 0u))) { break; }
        loop_bound_4 -= uint2(loop_bound_4.y == 0u, 1u);
        if (!loop_init_4) {
            uint _e15 = j_3;
            j_3 = (_e15 + 1u);
        }
        loop_init_4 = false;
        uint _e6 = j_3;
        if ((_e6 < 4u)) {
        } else {
            break;
        }
        {
            uint _e9 = j_3;
            uint _e11 = j_3;
            const float4 _e13 = value_at((k_2 + _e11), vector_1);
            block_2[min(uint(_e9), 3u)] = _e13;
        }
    }
    float4x4 _e17 = block_2;
    return _e17;
}

void fetch_values(uint k_3)
{
    const uint _e2 = vectors_values();
    uint wide_1 = (GROUP_X * _e2);
    uint _e6 = here.z;
    if ((_e6 < (wide_1 * 2u))) {
        uint _e16 = here.z;
        uint _e21 = here.z;
        const float4x4 _e25 = right_values(naga_mod(_e16, wide_1), (k_3 + (4u * naga_div(_e21, wide_1))));
        next = _e25;
        return;
    } else {
        return;
    }
}

void prepare_values(uint k_4)
{
    keep_columns(k_4);
    return;
}

float4 left_of_sum(uint k_5, uint r_4)
{
    const float4 _e2 = staged_left(k_5, r_4);
    return _e2;
}

typedef float4 ret_ZeroValuearray4_float4_[4];
ret_ZeroValuearray4_float4_ ZeroValuearray4_float4_() {
    return (float4[4])0;
}

void outer_sum(uint k_6)
{
    float4 b_1[4] = ZeroValuearray4_float4_();
    uint c_1 = 0u;
    uint r_5 = 0u;
    uint c_2 = (uint)0;

    const uint _e2 = vectors_sum();
    uint wide_2 = (GROUP_X * _e2);
    uint _e5 = buffer;
    uint _e15 = here.x;
    uint right = (((_e5 * 32u) + (k_6 * wide_2)) + _e15);
    uint2 loop_bound_5 = uint2(4294967295u, 4294967295u);
    bool loop_init_5 = true;
    while(true) {
        if (all(loop_bound_5 == uint2(0u, 0u))) { break; }
        loop_bound_5 -= uint2(loop_bound_5.y == 0u, 1u);
        if (!loop_init_5) {
            uint _e34 = c_1;
            c_1 = (_e34 + 1u);
        }
        loop_init_5 = false;
        uint _e21 = c_1;
        const uint _e22 = vectors_sum();
        if ((_e21 < _e22)) {
        } else {
            break;
        }
        {
            uint _e24 = c_1;
            uint _e27 = c_1;
            float4 _e32 = tile_right[min(uint((right + (_e27 * GROUP_X))), 63u)];
            b_1[min(uint(_e24), 3u)] = _e32;
        }
    }
    uint2 loop_bound_6 = uint2(4294967295u, 4294967295u);
    bool loop_init_6 = true;
    while(true) {
        if (all(loop_bound_6 == uint2(0u, 0u))) { break; }
        loop_bound_6 -= uint2(loop_bound_6.y == 0u, 1u);
        if (!loop_init_6) {
            uint _e126 = r_5;
            r_5 = (_e126 + 1u);
        }
        loop_init_6 = false;
        uint _e38 = r_5;
        if ((_e38 < 1u)) {
        } else {
            break;
        }
        {
            uint _e44 = r_5;
            const float4 _e45 = left_of_sum(k_6, _e44);
            c_2 = 0u;
            uint2 loop_bound_7 = uint2(4294967295u, 4294967295u);
            bool loop_init_7 = true;
            while(true) {
                if (all(loop_bound_7 == uint2(0u, 0u))) { break; }
                loop_bound_7 -= uint2(loop_bound_7.y == 0u, 1u);
                if (!loop_init_7) {
                    uint _e123 = c_2;
                    c_2 = (_e123 + 1u);
                }
                loop_init_7 = false;
                uint _e48 = c_2;
                const uint _e49 = vectors_sum();
                if ((_e48 < _e49)) {
                } else {
                    break;
                }
                {
                    uint _e52 = r_5;
                    const uint _e54 = vectors_sum();
                    uint _e56 = c_2;
                    uint at_6 = (((4u * _e52) * _e54) + _e56);
                    uint _e62 = c_2;
                    float4 _e64 = b_1[min(uint(_e62), 3u)];
                    float4 _e67 = sum[min(uint(at_6), 15u)];
                    sum[min(uint(at_6), 15u)] = mad((_e45.x).xxxx, _e64, _e67);
                    const uint _e70 = vectors_sum();
                    uint _e75 = c_2;
                    float4 _e77 = b_1[min(uint(_e75), 3u)];
                    const uint _e79 = vectors_sum();
                    float4 _e82 = sum[min(uint((at_6 + _e79)), 15u)];
                    sum[min(uint((at_6 + _e70)), 15u)] = mad((_e45.y).xxxx, _e77, _e82);
                    const uint _e86 = vectors_sum();
                    uint _e92 = c_2;
                    float4 _e94 = b_1[min(uint(_e92), 3u)];
                    const uint _e97 = vectors_sum();
                    float4 _e101 = sum[min(uint((at_6 + (2u * _e97))), 15u)];
                    sum[min(uint((at_6 + (2u * _e86))), 15u)] = mad((_e45.z).xxxx, _e94, _e101);
                    const uint _e105 = vectors_sum();
                    uint _e111 = c_2;
                    float4 _e113 = b_1[min(uint(_e111), 3u)];
                    const uint _e116 = vectors_sum();
                    float4 _e120 = sum[min(uint((at_6 + (3u * _e116))), 15u)];
                    sum[min(uint((at_6 + (3u * _e105))), 15u)] = mad((_e45.w).xxxx, _e113, _e120);
                }
            }
        }
    }
    return;
}

void multiply_sum()
{
    uint k_7 = 0u;
    uint j_4 = (uint)0;

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
            j_4 = 0u;
            uint2 loop_bound_9 = uint2(4294967295u, 4294967295u);
            bool loop_init_9 = true;
            while(true) {
                if (all(loop_bound_9 == uint2(0u, 0u))) { break; }
                loop_bound_9 -= uint2(loop_bound_9.y == 0u, 1u);
                if (!loop_init_9) {
                    uint _e14 = j_4;
                    j_4 = (_e14 + 1u);
                }
                loop_init_9 = false;
                uint _e7 = j_4;
                if ((_e7 < 4u)) {
                } else {
                    break;
                }
                {
                    uint _e10 = k_7;
                    uint _e11 = j_4;
                    outer_sum((_e10 + _e11));
                }
            }
        }
    }
    return;
}

void multiply_values()
{
    multiply_sum();
    return;
}

void add_values(uint inner)
{
    uint k_8 = 0u;

    const uint _e2 = vectors_values();
    uint wide_3 = (GROUP_X * _e2);
    fetch_values(0u);
    uint2 loop_bound_10 = uint2(4294967295u, 4294967295u);
    bool loop_init_10 = true;
    while(true) {
        if (all(loop_bound_10 == uint2(0u, 0u))) { break; }
        loop_bound_10 -= uint2(loop_bound_10.y == 0u, 1u);
        if (!loop_init_10) {
            uint _e30 = k_8;
            k_8 = (_e30 + DEPTH);
        }
        loop_init_10 = false;
        uint _e7 = k_8;
        if ((_e7 < inner)) {
        } else {
            break;
        }
        {
            uint _e12 = buffer;
            buffer = (1u - _e12);
            uint _e14 = k_8;
            prepare_values(_e14);
            uint _e17 = here.z;
            if ((_e17 < (wide_3 * 2u))) {
                uint _e26 = here.z;
                keep_right(_e26, wide_3);
            }
            GroupMemoryBarrierWithGroupSync();
            uint _e27 = k_8;
            fetch_values((_e27 + DEPTH));
            multiply_values();
        }
    }
    return;
}

float4 left_of_dots(uint k_9, uint r_6)
{
    const float4 _e2 = staged_left(k_9, r_6);
    return _e2;
}

void outer_dots(uint k_10)
{
    float4 b_2[4] = ZeroValuearray4_float4_();
    uint c_3 = 0u;
    uint r_7 = 0u;
    uint c_4 = (uint)0;

    const uint _e2 = vectors_dots();
    uint wide_4 = (GROUP_X * _e2);
    uint _e5 = buffer;
    uint _e15 = here.x;
    uint right_1 = (((_e5 * 32u) + (k_10 * wide_4)) + _e15);
    uint2 loop_bound_11 = uint2(4294967295u, 4294967295u);
    bool loop_init_11 = true;
    while(true) {
        if (all(loop_bound_11 == uint2(0u, 0u))) { break; }
        loop_bound_11 -= uint2(loop_bound_11.y == 0u, 1u);
        if (!loop_init_11) {
            uint _e34 = c_3;
            c_3 = (_e34 + 1u);
        }
        loop_init_11 = false;
        uint _e21 = c_3;
        const uint _e22 = vectors_dots();
        if ((_e21 < _e22)) {
        } else {
            break;
        }
        {
            uint _e24 = c_3;
            uint _e27 = c_3;
            float4 _e32 = tile_right[min(uint((right_1 + (_e27 * GROUP_X))), 63u)];
            b_2[min(uint(_e24), 3u)] = _e32;
        }
    }
    uint2 loop_bound_12 = uint2(4294967295u, 4294967295u);
    bool loop_init_12 = true;
    while(true) {
        if (all(loop_bound_12 == uint2(0u, 0u))) { break; }
        loop_bound_12 -= uint2(loop_bound_12.y == 0u, 1u);
        if (!loop_init_12) {
            uint _e126 = r_7;
            r_7 = (_e126 + 1u);
        }
        loop_init_12 = false;
        uint _e38 = r_7;
        if ((_e38 < 1u)) {
        } else {
            break;
        }
        {
            uint _e44 = r_7;
            const float4 _e45 = left_of_dots(k_10, _e44);
            c_4 = 0u;
            uint2 loop_bound_13 = uint2(4294967295u, 4294967295u);
            bool loop_init_13 = true;
            while(true) {
                if (all(loop_bound_13 == uint2(0u, 0u))) { break; }
                loop_bound_13 -= uint2(loop_bound_13.y == 0u, 1u);
                if (!loop_init_13) {
                    uint _e123 = c_4;
                    c_4 = (_e123 + 1u);
                }
                loop_init_13 = false;
                uint _e48 = c_4;
                const uint _e49 = vectors_dots();
                if ((_e48 < _e49)) {
                } else {
                    break;
                }
                {
                    uint _e52 = r_7;
                    const uint _e54 = vectors_dots();
                    uint _e56 = c_4;
                    uint at_7 = (((4u * _e52) * _e54) + _e56);
                    uint _e62 = c_4;
                    float4 _e64 = b_2[min(uint(_e62), 3u)];
                    float4 _e67 = dots[min(uint(at_7), 7u)];
                    dots[min(uint(at_7), 7u)] = mad((_e45.x).xxxx, _e64, _e67);
                    const uint _e70 = vectors_dots();
                    uint _e75 = c_4;
                    float4 _e77 = b_2[min(uint(_e75), 3u)];
                    const uint _e79 = vectors_dots();
                    float4 _e82 = dots[min(uint((at_7 + _e79)), 7u)];
                    dots[min(uint((at_7 + _e70)), 7u)] = mad((_e45.y).xxxx, _e77, _e82);
                    const uint _e86 = vectors_dots();
                    uint _e92 = c_4;
                    float4 _e94 = b_2[min(uint(_e92), 3u)];
                    const uint _e97 = vectors_dots();
                    float4 _e101 = dots[min(uint((at_7 + (2u * _e97))), 7u)];
                    dots[min(uint((at_7 + (2u * _e86))), 7u)] = mad((_e45.z).xxxx, _e94, _e101);
                    const uint _e105 = vectors_dots();
                    uint _e111 = c_4;
                    float4 _e113 = b_2[min(uint(_e111), 3u)];
                    const uint _e116 = vectors_dots();
                    float4 _e120 = dots[min(uint((at_7 + (3u * _e116))), 7u)];
                    dots[min(uint((at_7 + (3u * _e105))), 7u)] = mad((_e45.w).xxxx, _e113, _e120);
                }
            }
        }
    }
    return;
}

void multiply_dots()
{
    uint k_11 = 0u;
    uint j_5 = (uint)0;

    uint2 loop_bound_14 = uint2(4294967295u, 4294967295u);
    bool loop_init_14 = true;
    while(true) {
        if (all(loop_bound_14 == uint2(0u, 0u))) { break; }
        loop_bound_14 -= uint2(loop_bound_14.y == 0u, 1u);
        if (!loop_init_14) {
            uint _e16 = k_11;
            k_11 = (_e16 + 4u);
        }
        loop_init_14 = false;
        uint _e2 = k_11;
        if ((_e2 < DEPTH)) {
        } else {
            break;
        }
        {
            j_5 = 0u;
            uint2 loop_bound_15 = uint2(4294967295u, 4294967295u);
            bool loop_init_15 = true;
            while(true) {
                if (all(loop_bound_15 == uint2(0u, 0u))) { break; }
                loop_bound_15 -= uint2(loop_bound_15.y == 0u, 1u);
                if (!loop_init_15) {
                    uint _e14 = j_5;
                    j_5 = (_e14 + 1u);
                }
                loop_init_15 = false;
                uint _e7 = j_5;
                if ((_e7 < 4u)) {
                } else {
                    break;
                }
                {
                    uint _e10 = k_11;
                    uint _e11 = j_5;
                    outer_dots((_e10 + _e11));
                }
            }
        }
    }
    return;
}

uint query_row(uint row)
{
    uint _e3 = near.queries;
    int _e6 = near.row;
    uint _e11 = params.tokens;
    return (_e3 + uint(clamp(asint(asuint(_e6) + asuint(int(row))), int(0), asint(asuint(int((_e11 * GROUP))) - asuint(int(1))))));
}

float4 query_at(uint row_1, uint k_12)
{
    const uint _e3 = query_row(row_1);
    float4 _e12 = asfloat(queries.Load4(naga_div((((_e3 * QUERY_WIDTH) + LOCAL_OFFSET) + k_12), 4u)*16));
    return _e12;
}

float4x4 left_dots(uint row_2, uint k_13)
{
    float4x4 block_3 = ZeroValuefloat4x4();
    uint i = 0u;

    if ((k_13 >= LOCAL)) {
        return ZeroValuefloat4x4();
    }
    uint2 loop_bound_16 = uint2(4294967295u, 4294967295u);
    bool loop_init_16 = true;
    while(true) {
        if (all(loop_bound_16 == uint2(0u, 0u))) { break; }
        loop_bound_16 -= uint2(loop_bound_16.y == 0u, 1u);
        if (!loop_init_16) {
            uint _e18 = i;
            i = (_e18 + 1u);
        }
        loop_init_16 = false;
        uint _e9 = i;
        if ((_e9 < 4u)) {
        } else {
            break;
        }
        {
            uint _e12 = i;
            uint _e14 = i;
            const float4 _e16 = query_at((row_2 + _e14), k_13);
            block_3[min(uint(_e12), 3u)] = _e16;
        }
    }
    float4x4 _e20 = block_3;
    return transpose(_e20);
}

float4 key_at(uint key_2, uint k_14)
{
    uint _e4 = first_key;
    const uint _e6 = key_row((_e4 + key_2));
    float4 _e15 = asfloat(keys.Load4(naga_div((((_e6 * KEY_WIDTH) + LOCAL_OFFSET) + k_14), 4u)*16));
    return _e15;
}

float4x4 right_dots(uint vector_2, uint k_15)
{
    float4x4 block_4 = ZeroValuefloat4x4();
    uint j_6 = 0u;

    if ((k_15 >= LOCAL)) {
        return ZeroValuefloat4x4();
    }
    uint2 loop_bound_17 = uint2(4294967295u, 4294967295u);
    bool loop_init_17 = true;
    while(true) {
        if (all(loop_bound_17 == uint2(0u, 0u))) { break; }
        loop_bound_17 -= uint2(loop_bound_17.y == 0u, 1u);
        if (!loop_init_17) {
            uint _e20 = j_6;
            j_6 = (_e20 + 1u);
        }
        loop_init_17 = false;
        uint _e9 = j_6;
        if ((_e9 < 4u)) {
        } else {
            break;
        }
        {
            uint _e12 = j_6;
            uint _e16 = j_6;
            const float4 _e18 = key_at(((4u * vector_2) + _e16), k_15);
            block_4[min(uint(_e12), 3u)] = _e18;
        }
    }
    float4x4 _e22 = block_4;
    return transpose(_e22);
}

void fetch_dots(uint k_16)
{
    const uint _e9 = vectors_dots();
    uint wide_5 = (GROUP_X * _e9);
    uint _e13 = here.z;
    const uint _e14 = left_blocks();
    uint block_6 = (_e13 - _e14);
    uint _e18 = here.z;
    const uint _e19 = left_blocks();
    if ((_e18 < _e19)) {
        uint _e25 = here.z;
        uint _e31 = here.z;
        const float4x4 _e35 = left_dots((4u * naga_mod(_e25, 4u)), (k_16 + (4u * naga_div(_e31, 4u))));
        next = _e35;
        return;
    } else {
        if ((block_6 < (wide_5 * 2u))) {
            const float4x4 _e48 = right_dots(naga_mod(block_6, wide_5), (k_16 + (4u * naga_div(block_6, wide_5))));
            next = _e48;
            return;
        } else {
            return;
        }
    }
}

void keep_dots()
{
    const uint _e1 = vectors_dots();
    uint wide_6 = (GROUP_X * _e1);
    uint _e5 = here.z;
    const uint _e6 = left_blocks();
    uint block_7 = (_e5 - _e6);
    uint _e11 = buffer;
    buffer = (1u - _e11);
    uint _e15 = here.z;
    const uint _e16 = left_blocks();
    if ((_e15 < _e16)) {
        uint _e20 = here.z;
        keep_left(_e20);
        return;
    } else {
        if ((block_7 < (wide_6 * 2u))) {
            keep_right(block_7, wide_6);
            return;
        } else {
            return;
        }
    }
}

void add_dots(uint inner_1)
{
    uint k_17 = 0u;

    fetch_dots(0u);
    keep_dots();
    GroupMemoryBarrierWithGroupSync();
    uint2 loop_bound_18 = uint2(4294967295u, 4294967295u);
    bool loop_init_18 = true;
    while(true) {
        if (all(loop_bound_18 == uint2(0u, 0u))) { break; }
        loop_bound_18 -= uint2(loop_bound_18.y == 0u, 1u);
        if (!loop_init_18) {
            uint _e13 = k_17;
            k_17 = (_e13 + DEPTH);
        }
        loop_init_18 = false;
        uint _e4 = k_17;
        if ((_e4 < inner_1)) {
        } else {
            break;
        }
        {
            uint _e6 = k_17;
            bool more = ((_e6 + DEPTH) < inner_1);
            if (more) {
                uint _e10 = k_17;
                fetch_dots((_e10 + DEPTH));
            }
            multiply_dots();
            if (more) {
                keep_dots();
                GroupMemoryBarrierWithGroupSync();
            }
        }
    }
    return;
}

float local_affinity(float t)
{
    float w = 1.0;
    uint m = 0u;

    float s = (SCALE * t);
    float square = (s * s);
    uint2 loop_bound_19 = uint2(4294967295u, 4294967295u);
    bool loop_init_19 = true;
    while(true) {
        if (all(loop_bound_19 == uint2(0u, 0u))) { break; }
        loop_bound_19 -= uint2(loop_bound_19.y == 0u, 1u);
        if (!loop_init_19) {
            uint _e17 = m;
            m = (_e17 + 1u);
        }
        loop_init_19 = false;
        uint _e8 = m;
        if ((_e8 < 2u)) {
        } else {
            break;
        }
        {
            float _e14 = w;
            w = (_e14 * square);
        }
    }
    float _e19 = w;
    return _e19;
}

float2 gate_of_key(uint key_3)
{
    const uint _e2 = key_row(key_3);
    float4 _e10 = asfloat(keys.Load4(naga_div(((_e2 * KEY_WIDTH) + G_OFFSET), 4u)*16));
    return _e10.xy;
}

void keep_row_gates()
{
    uint row_3 = (uint)0;

    if (false) {
        return;
    }
    uint _e5 = here.z;
    row_3 = _e5;
    uint2 loop_bound_20 = uint2(4294967295u, 4294967295u);
    bool loop_init_20 = true;
    while(true) {
        if (all(loop_bound_20 == uint2(0u, 0u))) { break; }
        loop_bound_20 -= uint2(loop_bound_20.y == 0u, 1u);
        if (!loop_init_20) {
            uint _e21 = row_3;
            row_3 = (_e21 + 16u);
        }
        loop_init_20 = false;
        uint _e7 = row_3;
        if ((_e7 < ROW_TILE)) {
        } else {
            break;
        }
        {
            uint _e11 = row_3;
            uint _e15 = near.own;
            uint _e16 = row_3;
            const float2 _e20 = gate_of_key(naga_div((_e15 + _e16), GROUP));
            row_state[min(uint(_e11), 15u)] = _e20;
        }
    }
    return;
}

typedef float2 ret_Constructarray4_float2_[4];
ret_Constructarray4_float2_ Constructarray4_float2_(float2 arg0, float2 arg1, float2 arg2, float2 arg3) {
    float2 ret[4] = { arg0, arg1, arg2, arg3 };
    return ret;
}

typedef float2 ret_ZeroValuearray4_float2_[4];
ret_ZeroValuearray4_float2_ ZeroValuearray4_float2_() {
    return (float2[4])0;
}

float4 ZeroValuefloat4() {
    return (float4)0;
}

void relate()
{
    float2 gates[4] = ZeroValuearray4_float2_();
    uint r_8 = 0u;
    float4 w_1 = (float4)0;

    uint _e1 = first_key;
    uint _e5 = here.x;
    uint4 j_9 = (((_e1 + (4u * _e5))).xxxx + uint4(0u, 1u, 2u, 3u));
    if (GATED) {
        const float2 _e19 = gate_of_key(j_9.x);
        const float2 _e21 = gate_of_key(j_9.y);
        const float2 _e23 = gate_of_key(j_9.z);
        const float2 _e25 = gate_of_key(j_9.w);
        gates = Constructarray4_float2_(_e19, _e21, _e23, _e25);
    }
    uint2 loop_bound_21 = uint2(4294967295u, 4294967295u);
    bool loop_init_21 = true;
    while(true) {
        if (all(loop_bound_21 == uint2(0u, 0u))) { break; }
        loop_bound_21 -= uint2(loop_bound_21.y == 0u, 1u);
        if (!loop_init_21) {
            uint _e90 = r_8;
            r_8 = (_e90 + 1u);
        }
        loop_init_21 = false;
        uint _e29 = r_8;
        if ((_e29 < ROWS)) {
        } else {
            break;
        }
        {
            uint _e33 = r_8;
            float4 d = dots[min(uint(_e33), 7u)];
            uint _e38 = near.end;
            uint _e41 = near.own;
            uint _e42 = r_8;
            const uint _e43 = row_of(_e42);
            bool4 seen = (j_9 < (min(_e38, (naga_div((_e41 + _e43), GROUP) + 1u))).xxxx);
            const float _e53 = local_affinity(d.x);
            const float _e55 = local_affinity(d.y);
            const float _e57 = local_affinity(d.z);
            const float _e59 = local_affinity(d.w);
            w_1 = float4(_e53, _e55, _e57, _e59);
            if (GATED) {
                uint _e64 = r_8;
                const uint _e65 = row_of(_e64);
                float2 own = row_state[min(uint(_e65), 15u)];
                float4 _e68 = w_1;
                float2 _e70 = gates[0];
                const float _e71 = gate_decay(own, _e70);
                float2 _e73 = gates[1];
                const float _e74 = gate_decay(own, _e73);
                float2 _e76 = gates[2];
                const float _e77 = gate_decay(own, _e76);
                float2 _e79 = gates[3];
                const float _e80 = gate_decay(own, _e79);
                w_1 = (_e68 * float4(_e71, _e74, _e77, _e80));
            }
            uint _e84 = r_8;
            float4 _e87 = w_1;
            dots[min(uint(_e84), 7u)] = (seen ? _e87 : ZeroValuefloat4());
        }
    }
    return;
}

void add_near_keys(uint end, bool sinks)
{
    uint start = 0u;
    uint r_9 = (uint)0;
    uint r_10 = (uint)0;

    uint2 loop_bound_22 = uint2(4294967295u, 4294967295u);
    bool loop_init_22 = true;
    while(true) {
        if (all(loop_bound_22 == uint2(0u, 0u))) { break; }
        loop_bound_22 -= uint2(loop_bound_22.y == 0u, 1u);
        if (!loop_init_22) {
            uint _e53 = start;
            start = (_e53 + 16u);
        }
        loop_init_22 = false;
        uint _e4 = start;
        if ((_e4 < end)) {
        } else {
            break;
        }
        {
            uint _e7 = start;
            first_key = _e7;
            r_9 = 0u;
            uint2 loop_bound_23 = uint2(4294967295u, 4294967295u);
            bool loop_init_23 = true;
            while(true) {
                if (all(loop_bound_23 == uint2(0u, 0u))) { break; }
                loop_bound_23 -= uint2(loop_bound_23.y == 0u, 1u);
                if (!loop_init_23) {
                    uint _e18 = r_9;
                    r_9 = (_e18 + 1u);
                }
                loop_init_23 = false;
                uint _e10 = r_9;
                if ((_e10 < ROWS)) {
                } else {
                    break;
                }
                {
                    uint _e14 = r_9;
                    dots[min(uint(_e14), 7u)] = ZeroValuefloat4();
                }
            }
            add_dots(LOCAL);
            relate();
            r_10 = 0u;
            uint2 loop_bound_24 = uint2(4294967295u, 4294967295u);
            bool loop_init_24 = true;
            while(true) {
                if (all(loop_bound_24 == uint2(0u, 0u))) { break; }
                loop_bound_24 -= uint2(loop_bound_24.y == 0u, 1u);
                if (!loop_init_24) {
                    uint _e44 = r_10;
                    r_10 = (_e44 + 1u);
                }
                loop_init_24 = false;
                uint _e23 = r_10;
                if ((_e23 < 1u)) {
                } else {
                    break;
                }
                {
                    uint _e29 = r_10;
                    const float4x4 _e30 = dots_of(_e29);
                    uint _e32 = r_10;
                    float4 _e34 = total[min(uint(_e32), 1u)];
                    total[min(uint(_e32), 1u)] = (_e34 + (((_e30[0] + _e30[1]) + _e30[2]) + _e30[3]));
                }
            }
            uint _e50 = start;
            add_values(min(16u, (end - _e50)));
        }
    }
    return;
}

void share_totals(float4 far)
{
    uint r_11 = 0u;
    uint row_4 = (uint)0;
    float all_ = (float)0;
    uint x = (uint)0;
    uint i_1 = (uint)0;

    GroupMemoryBarrierWithGroupSync();
    uint2 loop_bound_25 = uint2(4294967295u, 4294967295u);
    bool loop_init_25 = true;
    while(true) {
        if (all(loop_bound_25 == uint2(0u, 0u))) { break; }
        loop_bound_25 -= uint2(loop_bound_25.y == 0u, 1u);
        if (!loop_init_25) {
            uint _e33 = r_11;
            r_11 = (_e33 + 1u);
        }
        loop_init_25 = false;
        uint _e7 = r_11;
        if ((_e7 < 1u)) {
        } else {
            break;
        }
        {
            uint _e16 = here.y;
            uint _e17 = r_11;
            uint _e25 = here.x;
            uint _e29 = r_11;
            float4 _e31 = total[min(uint(_e29), 1u)];
            tile_left[min(uint((((_e16 + (_e17 * GROUP_Y)) * GROUP_X) + _e25)), 63u)] = _e31;
        }
    }
    uint _e37 = here.z;
    const uint _e38 = left_blocks();
    if ((_e37 < _e38)) {
        uint _e43 = here.z;
        tile_right[min(uint(_e43), 63u)] = far;
    }
    GroupMemoryBarrierWithGroupSync();
    uint _e47 = here.z;
    row_4 = _e47;
    uint2 loop_bound_26 = uint2(4294967295u, 4294967295u);
    bool loop_init_26 = true;
    while(true) {
        if (all(loop_bound_26 == uint2(0u, 0u))) { break; }
        loop_bound_26 -= uint2(loop_bound_26.y == 0u, 1u);
        if (!loop_init_26) {
            uint _e109 = row_4;
            row_4 = (_e109 + 16u);
        }
        loop_init_26 = false;
        uint _e49 = row_4;
        if ((_e49 < ROW_TILE)) {
        } else {
            break;
        }
        {
            all_ = 0.0;
            x = 0u;
            uint2 loop_bound_27 = uint2(4294967295u, 4294967295u);
            bool loop_init_27 = true;
            while(true) {
                if (all(loop_bound_27 == uint2(0u, 0u))) { break; }
                loop_bound_27 -= uint2(loop_bound_27.y == 0u, 1u);
                if (!loop_init_27) {
                    uint _e76 = x;
                    x = (_e76 + 1u);
                }
                loop_init_27 = false;
                uint _e56 = x;
                if ((_e56 < GROUP_X)) {
                } else {
                    break;
                }
                {
                    float _e59 = all_;
                    uint _e61 = row_4;
                    uint _e66 = x;
                    uint _e69 = row_4;
                    float _e73 = tile_left[min(uint(((naga_div(_e61, 4u) * GROUP_X) + _e66)), 63u)][min(uint(naga_mod(_e69, 4u)), 3u)];
                    all_ = (_e59 + _e73);
                }
            }
            i_1 = 0u;
            uint2 loop_bound_28 = uint2(4294967295u, 4294967295u);
            bool loop_init_28 = true;
            while(true) {
                if (all(loop_bound_28 == uint2(0u, 0u))) { break; }
                loop_bound_28 -= uint2(loop_bound_28.y == 0u, 1u);
                if (!loop_init_28) {
                    uint _e102 = i_1;
                    i_1 = (_e102 + 1u);
                }
                loop_init_28 = false;
                uint _e80 = i_1;
                if ((_e80 < 2u)) {
                } else {
                    break;
                }
                {
                    float _e86 = all_;
                    uint _e88 = i_1;
                    uint _e90 = row_4;
                    uint _e95 = row_4;
                    float _e99 = tile_right[min(uint(((_e88 * 4u) + naga_div(_e90, 4u))), 63u)][min(uint(naga_mod(_e95, 4u)), 3u)];
                    all_ = (_e86 + _e99);
                }
            }
            uint _e105 = row_4;
            float _e108 = all_;
            row_state[min(uint(_e105), 15u)].y = _e108;
        }
    }
    GroupMemoryBarrierWithGroupSync();
    return;
}

void keep(uint row_5, uint query, float all_1)
{
    return;
}

void store_outputs(uint rows, uint lane, uint head)
{
    uint r_12 = 0u;
    bool local_2 = (bool)0;
    bool local_3 = (bool)0;
    uint c_5 = (uint)0;

    uint2 loop_bound_29 = uint2(4294967295u, 4294967295u);
    bool loop_init_29 = true;
    while(true) {
        if (all(loop_bound_29 == uint2(0u, 0u))) { break; }
        loop_bound_29 -= uint2(loop_bound_29.y == 0u, 1u);
        if (!loop_init_29) {
            uint _e114 = r_12;
            r_12 = (_e114 + 1u);
        }
        loop_init_29 = false;
        uint _e5 = r_12;
        if ((_e5 < ROWS)) {
        } else {
            break;
        }
        {
            uint _e8 = r_12;
            const uint _e9 = row_of(_e8);
            int _e12 = near.row;
            int own_1 = asint(asuint(_e12) + asuint(int(_e9)));
            if ((_e9 < rows)) {
                local_2 = (own_1 >= int(0));
            } else {
                local_2 = false;
            }
            bool _e21 = local_2;
            if (_e21) {
                uint _e26 = params.tokens;
                local_3 = (own_1 < int((_e26 * GROUP)));
            } else {
                local_3 = false;
            }
            bool _e32 = local_3;
            if (_e32) {
                float all_2 = row_state[min(uint(_e9), 15u)].y;
                uint _e39 = params.tokens;
                uint token = ((lane * _e39) + naga_div(uint(own_1), GROUP));
                uint to = (((((token * HEADS) + head) * GROUP) + naga_mod(uint(own_1), GROUP)) * 4u);
                c_5 = 0u;
                uint2 loop_bound_30 = uint2(4294967295u, 4294967295u);
                bool loop_init_30 = true;
                while(true) {
                    if (all(loop_bound_30 == uint2(0u, 0u))) { break; }
                    loop_bound_30 -= uint2(loop_bound_30.y == 0u, 1u);
                    if (!loop_init_30) {
                        uint _e97 = c_5;
                        c_5 = (_e97 + 1u);
                    }
                    loop_init_30 = false;
                    uint _e61 = c_5;
                    if ((_e61 < 1u)) {
                    } else {
                        break;
                    }
                    {
                        uint _e69 = near.vector_;
                        uint _e70 = c_5;
                        const uint _e71 = vector_of(_e70);
                        uint vector_5 = (_e69 + _e71);
                        if ((vector_5 < 4u)) {
                            uint _e82 = r_12;
                            uint _e88 = c_5;
                            float4 _e91 = sum[min(uint(((_e82 * 1u) + _e88)), 15u)];
                            o.Store4((to + vector_5)*16, asuint((_e91 / ((BIAS + all_2)).xxxx)));
                        }
                    }
                }
                uint _e101 = near.vector_;
                uint _e104 = here.x;
                if (((_e101 + _e104) == 0u)) {
                    uint _e110 = near.queries;
                    keep(_e9, (_e110 + uint(own_1)), all_2);
                }
            }
        }
    }
    return;
}

float factor(uint at, uint index_1)
{
    uint i_2 = (at + (EXTENDED ? min(index_1, 7u) : index_1));
    float _e17 = asfloat(queries.Load(naga_mod(i_2, 4u)*4+naga_div(i_2, 4u)*16));
    return ((EXTENDED & (index_1 == SOURCE)) ? 1.0 : _e17);
}

float feature(uint row_6, uint packed)
{
    float value = (float)0;

    const float _e4 = factor(row_6, (packed & 255u));
    value = _e4;
    if (true) {
        float _e10 = value;
        const float _e15 = factor(row_6, ((packed >> 8u) & 255u));
        value = (_e10 * _e15);
    }
    if (false) {
        float _e21 = value;
        const float _e26 = factor(row_6, ((packed >> 16u) & 255u));
        value = (_e21 * _e26);
    }
    if (false) {
        float _e32 = value;
        const float _e35 = factor(row_6, (packed >> 24u));
        value = (_e32 * _e35);
    }
    float _e37 = value;
    return _e37;
}

uint vectors_far()
{
    const uint _e0 = vectors_sum();
    return _e0;
}

float4 features(uint4 at_1, uint packed_1)
{
    const float _e3 = feature(at_1.x, packed_1);
    const float _e5 = feature(at_1.y, packed_1);
    const float _e7 = feature(at_1.z, packed_1);
    const float _e9 = feature(at_1.w, packed_1);
    return float4(_e3, _e5, _e7, _e9);
}

float4x4 left_far(uint row_7, uint k_18)
{
    float4x4 phi = ZeroValuefloat4x4();
    uint j_7 = 0u;

    if ((k_18 >= FEATURES)) {
        return ZeroValuefloat4x4();
    }
    const uint _e5 = query_row(row_7);
    const uint _e8 = query_row((row_7 + 1u));
    const uint _e11 = query_row((row_7 + 2u));
    const uint _e14 = query_row((row_7 + 3u));
    uint4 at_8 = ((uint4(_e5, _e8, _e11, _e14) * QUERY_WIDTH) + (16u).xxxx);
    uint2 loop_bound_31 = uint2(4294967295u, 4294967295u);
    bool loop_init_31 = true;
    while(true) {
        if (all(loop_bound_31 == uint2(0u, 0u))) { break; }
        loop_bound_31 -= uint2(loop_bound_31.y == 0u, 1u);
        if (!loop_init_31) {
            uint _e38 = j_7;
            j_7 = (_e38 + 1u);
        }
        loop_init_31 = false;
        uint _e26 = j_7;
        if ((_e26 < 4u)) {
        } else {
            break;
        }
        {
            uint _e29 = j_7;
            uint _e32 = j_7;
            uint _e35 = asuint(table.Load((k_18 + _e32)*4));
            const float4 _e36 = features(at_8, _e35);
            phi[min(uint(_e29), 3u)] = _e36;
        }
    }
    float4 _e41 = far_total;
    float4x4 _e42 = phi;
    uint _e45 = z;
    float4 _e56 = asfloat(prefix.Load4(naga_div(((_e45 + 576u) + k_18), 4u)*16));
    far_total = (_e41 + mul(_e56, _e42));
    float4x4 _e59 = phi;
    return _e59;
}

float4 z_at(uint f, uint vector_3)
{
    uint _e4 = z;
    uint _e12 = near.vector_;
    float4 _e23 = asfloat(prefix.Load4((naga_div((_e4 + (f * HEAD)), 4u) + min((_e12 + vector_3), 3u))*16));
    return _e23;
}

float4x4 right_far(uint vector_4, uint k_19)
{
    float4x4 block_5 = ZeroValuefloat4x4();
    uint j_8 = 0u;

    if ((k_19 >= FEATURES)) {
        return ZeroValuefloat4x4();
    }
    uint2 loop_bound_32 = uint2(4294967295u, 4294967295u);
    bool loop_init_32 = true;
    while(true) {
        if (all(loop_bound_32 == uint2(0u, 0u))) { break; }
        loop_bound_32 -= uint2(loop_bound_32.y == 0u, 1u);
        if (!loop_init_32) {
            uint _e18 = j_8;
            j_8 = (_e18 + 1u);
        }
        loop_init_32 = false;
        uint _e9 = j_8;
        if ((_e9 < 4u)) {
        } else {
            break;
        }
        {
            uint _e12 = j_8;
            uint _e14 = j_8;
            const float4 _e16 = z_at((k_19 + _e14), vector_4);
            block_5[min(uint(_e12), 3u)] = _e16;
        }
    }
    float4x4 _e20 = block_5;
    return _e20;
}

void fetch_far(uint k_20)
{
    const uint _e9 = vectors_far();
    uint wide_7 = (GROUP_X * _e9);
    uint _e13 = here.z;
    const uint _e14 = left_blocks();
    uint block_8 = (_e13 - _e14);
    uint _e18 = here.z;
    const uint _e19 = left_blocks();
    if ((_e18 < _e19)) {
        uint _e25 = here.z;
        uint _e31 = here.z;
        const float4x4 _e35 = left_far((4u * naga_mod(_e25, 4u)), (k_20 + (4u * naga_div(_e31, 4u))));
        next = _e35;
        return;
    } else {
        if ((block_8 < (wide_7 * 2u))) {
            const float4x4 _e48 = right_far(naga_mod(block_8, wide_7), (k_20 + (4u * naga_div(block_8, wide_7))));
            next = _e48;
            return;
        } else {
            return;
        }
    }
}

void keep_far()
{
    const uint _e1 = vectors_far();
    uint wide_8 = (GROUP_X * _e1);
    uint _e5 = here.z;
    const uint _e6 = left_blocks();
    uint block_9 = (_e5 - _e6);
    uint _e11 = buffer;
    buffer = (1u - _e11);
    uint _e15 = here.z;
    const uint _e16 = left_blocks();
    if ((_e15 < _e16)) {
        uint _e20 = here.z;
        keep_left(_e20);
        return;
    } else {
        if ((block_9 < (wide_8 * 2u))) {
            keep_right(block_9, wide_8);
            return;
        } else {
            return;
        }
    }
}

void multiply_far()
{
    multiply_sum();
    return;
}

void add_far(uint inner_2)
{
    uint k_21 = 0u;

    fetch_far(0u);
    keep_far();
    GroupMemoryBarrierWithGroupSync();
    uint2 loop_bound_33 = uint2(4294967295u, 4294967295u);
    bool loop_init_33 = true;
    while(true) {
        if (all(loop_bound_33 == uint2(0u, 0u))) { break; }
        loop_bound_33 -= uint2(loop_bound_33.y == 0u, 1u);
        if (!loop_init_33) {
            uint _e13 = k_21;
            k_21 = (_e13 + DEPTH);
        }
        loop_init_33 = false;
        uint _e4 = k_21;
        if ((_e4 < inner_2)) {
        } else {
            break;
        }
        {
            uint _e6 = k_21;
            bool more_1 = ((_e6 + DEPTH) < inner_2);
            if (more_1) {
                uint _e10 = k_21;
                fetch_far((_e10 + DEPTH));
            }
            multiply_far();
            if (more_1) {
                keep_far();
                GroupMemoryBarrierWithGroupSync();
            }
        }
    }
    return;
}

float2 ZeroValuefloat2() {
    return (float2)0;
}

void add_far_state()
{
    uint r_13 = 0u;
    uint c_6 = (uint)0;

    add_far(FEATURES);
    if (false) {
        return;
    }
    uint2 loop_bound_34 = uint2(4294967295u, 4294967295u);
    bool loop_init_34 = true;
    while(true) {
        if (all(loop_bound_34 == uint2(0u, 0u))) { break; }
        loop_bound_34 -= uint2(loop_bound_34.y == 0u, 1u);
        if (!loop_init_34) {
            uint _e40 = r_13;
            r_13 = (_e40 + 1u);
        }
        loop_init_34 = false;
        uint _e6 = r_13;
        if ((_e6 < ROWS)) {
        } else {
            break;
        }
        {
            uint _e10 = r_13;
            const uint _e11 = row_of(_e10);
            float2 _e13 = row_state[min(uint(_e11), 15u)];
            const float _e15 = gate_decay(_e13, ZeroValuefloat2());
            c_6 = 0u;
            uint2 loop_bound_35 = uint2(4294967295u, 4294967295u);
            bool loop_init_35 = true;
            while(true) {
                if (all(loop_bound_35 == uint2(0u, 0u))) { break; }
                loop_bound_35 -= uint2(loop_bound_35.y == 0u, 1u);
                if (!loop_init_35) {
                    uint _e37 = c_6;
                    c_6 = (_e37 + 1u);
                }
                loop_init_35 = false;
                uint _e18 = c_6;
                if ((_e18 < 1u)) {
                } else {
                    break;
                }
                {
                    uint _e25 = r_13;
                    uint _e31 = c_6;
                    float4 _e34 = sum[min(uint(((_e25 * 1u) + _e31)), 15u)];
                    sum[min(uint(((_e25 * 1u) + _e31)), 15u)] = (_e34 * _e15);
                }
            }
        }
    }
    uint _e44 = here.z;
    const uint _e45 = left_blocks();
    if ((_e44 >= _e45)) {
        return;
    }
    uint _e50 = here.z;
    uint row_8 = (4u * naga_mod(_e50, 4u));
    float4 _e59 = far_total;
    float2 _e62 = row_state[min(uint(row_8), 15u)];
    const float _e63 = gate_decay(_e62, ZeroValuefloat2());
    float2 _e68 = row_state[min(uint((row_8 + 1u)), 15u)];
    const float _e69 = gate_decay(_e68, ZeroValuefloat2());
    float2 _e74 = row_state[min(uint((row_8 + 2u)), 15u)];
    const float _e75 = gate_decay(_e74, ZeroValuefloat2());
    float2 _e80 = row_state[min(uint((row_8 + 3u)), 15u)];
    const float _e81 = gate_decay(_e80, ZeroValuefloat2());
    far_total = (_e59 * float4(_e63, _e69, _e75, _e81));
    return;
}

Near ConstructNear(uint arg0, int arg1, uint arg2, uint arg3, uint arg4, uint arg5, uint arg6) {
    Near ret = (Near)0;
    ret.queries = arg0;
    ret.row = arg1;
    ret.keys = arg2;
    ret.own = arg3;
    ret.end = arg4;
    ret.vector_ = arg5;
    ret.later = arg6;
    return ret;
}

Lane ConstructLane(uint arg0, uint arg1, uint arg2, uint arg3) {
    Lane ret = (Lane)0;
    ret.slot = arg0;
    ret.position = arg1;
    ret.ring = arg2;
    ret.unused = arg3;
    return ret;
}

[numthreads(4, 4, 1)]
void main(uint3 group : SV_GroupID, uint3 local : SV_GroupThreadID, uint index : SV_GroupIndex)
{
    if (index == 0) {
        tile_left = (float4[64])0;
        tile_right = (float4[64])0;
        row_state = (float2[16])0;
    }
    GroupMemoryBarrierWithGroupSync();
    bool local_1 = (bool)0;

    here = uint3(local.xy, index);
    uint block_10 = group.y;
    uint _e10 = params.lane_base;
    Lane lane_1 = ConstructLane(asuint(lanes.Load((_e10 + naga_div(group.z, HEADS))*16+0)), asuint(lanes.Load((_e10 + naga_div(group.z, HEADS))*16+4)), asuint(lanes.Load((_e10 + naga_div(group.z, HEADS))*16+8)), asuint(lanes.Load((_e10 + naga_div(group.z, HEADS))*16+12)));
    uint head_1 = naga_mod(group.z, HEADS);
    uint _e23 = params.tokens;
    uint end_1 = ((lane_1.ring + _e23) * GROUP);
    uint parts = params.parts;
    uint tile = (naga_div(group.x, parts) * ROW_TILE);
    uint first = (((block_10 * BLOCK) * GROUP) + tile);
    uint rows_1 = min((16u - tile), ROW_TILE);
    if (!((first >= end_1))) {
        local_1 = ((first + rows_1) <= (lane_1.ring * GROUP));
    } else {
        local_1 = true;
    }
    bool _e57 = local_1;
    if (_e57) {
        return;
    }
    uint _e68 = params.tokens;
    uint keys_end = min((naga_div(((tile + rows_1) - 1u), GROUP) + 1u), ((lane_1.ring + _e68) - (block_10 * BLOCK)));
    uint _e78 = params.tokens;
    uint _e91 = params.stride;
    near = ConstructNear(((group.z * _e78) * GROUP), asint(asuint(int(first)) - asuint(int((lane_1.ring * GROUP)))), ((group.z * _e91) + ((block_10 + LEAD) * BLOCK)), tile, keys_end, (naga_mod(group.x, parts) * 4u), 0u);
    keep_row_gates();
    GroupMemoryBarrierWithGroupSync();
    if (((naga_div((lane_1.position - lane_1.ring), BLOCK) + block_10) >= NEAR)) {
        uint _e122 = params.blocks;
        z = ((((group.z * _e122) + block_10) * FEATURES) * 17u);
        add_far_state();
    }
    add_near_keys(keys_end, false);
    float4 _e134 = far_total;
    share_totals(_e134);
    store_outputs(rows_1, naga_div(group.z, HEADS), head_1);
    return;
}
