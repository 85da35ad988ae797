struct Params {
    uint rows;
    uint first_column;
};

static const uint DEPTH = 16u;
static const uint K = 32u;
static const uint N = 100u;
static const uint STRIDE = 100u;
static const uint GROUP_X = 8u;
static const uint GROUP_Y = 8u;
static const uint ROWS = 4u;
static const uint COLUMNS = 4u;
static const uint LEFT_SIZE = 256u;
static const uint RIGHT_SIZE = 256u;

ByteAddressBuffer w : register(t2);
cbuffer params : register(b0) { Params params; }
ByteAddressBuffer x_1 : register(t1);
ByteAddressBuffer bias : register(t3);
RWByteAddressBuffer y_1 : register(u4);
groupshared float4 tile_left[256];
groupshared float4 tile_right[256];
static float4 sum_1[16] = (float4[16])0;
static float4x4 next = (float4x4)0;

float4 w_row4_(uint row, uint vector_, uint vectors)
{
    float4 _e7 = asfloat(w.Load4(((row * vectors) + vector_)*16));
    return _e7;
}

uint inner()
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

float4 x_at(uint row_1, uint k_1)
{
    uint _e5 = params.rows;
    float4 _e18 = asfloat(x_1.Load4(((min(row_1, (_e5 - 1u)) * 8u) + naga_div(k_1, 4u))*16));
    return _e18;
}

float4x4 ZeroValuefloat4x4() {
    return (float4x4)0;
}

float4x4 left_block(uint row_2, uint k_2)
{
    if ((k_2 >= K)) {
        return ZeroValuefloat4x4();
    }
    const float4 _e5 = x_at(row_2, k_2);
    const float4 _e8 = x_at((row_2 + 1u), k_2);
    const float4 _e11 = x_at((row_2 + 2u), k_2);
    const float4 _e14 = x_at((row_2 + 3u), k_2);
    return transpose(float4x4(_e5, _e8, _e11, _e14));
}

float4 w_at(uint column, uint k_3)
{
    const float4 _e13 = w_row4_(min(column, 99u), naga_div(k_3, 4u), 8u);
    return _e13;
}

float4x4 right_block(uint vector_1, uint k_4)
{
    if ((k_4 >= K)) {
        return ZeroValuefloat4x4();
    }
    uint column_1 = (4u * vector_1);
    const float4 _e7 = w_at(column_1, k_4);
    const float4 _e10 = w_at((column_1 + 1u), k_4);
    const float4 _e13 = w_at((column_1 + 2u), k_4);
    const float4 _e16 = w_at((column_1 + 3u), k_4);
    return transpose(float4x4(_e7, _e10, _e13, _e16));
}

void store(uint row_3, uint vector_2, float4 sum)
{
    uint c_1 = 0u;
    float value = (float)0;

    uint2 loop_bound = uint2(4294967295u, 4294967295u);
    bool loop_init = true;
    while(true) {
        if (all(loop_bound == uint2(0u, 0u))) { break; }
        loop_bound -= uint2(loop_bound.y == 0u, 1u);
        if (!loop_init) {
            uint _e37 = c_1;
            c_1 = (_e37 + 1u);
        }
        loop_init = false;
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
                y_1.Store(((row_3 * STRIDE) + out_)*4, asuint(_e35));
            }
        }
    }
    return;
}

uint naga_mod(uint lhs, uint rhs) {
    return lhs % (rhs == 0u ? 1u : rhs);
}

void fetch(uint i, uint first_row, uint first_vector, uint k_5)
{
    if ((i < 32u)) {
        const float4x4 _e23 = left_block((first_row + (4u * naga_mod(i, 8u))), (k_5 + (4u * naga_div(i, 8u))));
        next = _e23;
        return;
    } else {
        uint at = (i - 32u);
        if ((at < 32u)) {
            const uint _e38 = vectors_1();
            const float4x4 _e46 = right_block(min((first_vector + naga_mod(at, 8u)), (_e38 - 1u)), (k_5 + (4u * naga_div(at, 8u))));
            next = _e46;
            return;
        } else {
            return;
        }
    }
}

void keep(uint i_1, uint buffer_1)
{
    uint j = 0u;
    uint j_1 = 0u;

    if ((i_1 < 32u)) {
        uint at_1 = ((((buffer_1 * DEPTH) + (4u * naga_div(i_1, 8u))) * 8u) + naga_mod(i_1, 8u));
        uint2 loop_bound_1 = uint2(4294967295u, 4294967295u);
        bool loop_init_1 = true;
        while(true) {
            if (all(loop_bound_1 == uint2(0u, 0u))) { break; }
            loop_bound_1 -= uint2(loop_bound_1.y == 0u, 1u);
            if (!loop_init_1) {
                uint _e36 = j;
                j = (_e36 + 1u);
            }
            loop_init_1 = false;
            uint _e23 = j;
            if ((_e23 < 4u)) {
            } else {
                break;
            }
            {
                uint _e27 = j;
                uint _e32 = j;
                float4 _e34 = next[min(uint(_e32), 3u)];
                tile_left[min(uint((at_1 + (_e27 * 8u))), 255u)] = _e34;
            }
        }
        return;
    } else {
        uint block = (i_1 - 32u);
        if ((block < 32u)) {
            uint at_2 = ((((buffer_1 * DEPTH) + (4u * naga_div(block, 8u))) * 8u) + naga_mod(block, 8u));
            uint2 loop_bound_2 = uint2(4294967295u, 4294967295u);
            bool loop_init_2 = true;
            while(true) {
                if (all(loop_bound_2 == uint2(0u, 0u))) { break; }
                loop_bound_2 -= uint2(loop_bound_2.y == 0u, 1u);
                if (!loop_init_2) {
                    uint _e73 = j_1;
                    j_1 = (_e73 + 1u);
                }
                loop_init_2 = false;
                uint _e60 = j_1;
                if ((_e60 < 4u)) {
                } else {
                    break;
                }
                {
                    uint _e64 = j_1;
                    uint _e69 = j_1;
                    float4 _e71 = next[min(uint(_e69), 3u)];
                    tile_right[min(uint((at_2 + (_e64 * 8u))), 255u)] = _e71;
                }
            }
            return;
        } else {
            return;
        }
    }
}

typedef float4 ret_ZeroValuearray2_float4_[2];
ret_ZeroValuearray2_float4_ ZeroValuearray2_float4_() {
    return (float4[2])0;
}

void multiply(uint buffer_2, uint x, uint y)
{
    float4 b[2] = ZeroValuearray2_float4_();
    uint k_6 = 0u;
    uint c_2 = (uint)0;
    uint r_1 = (uint)0;
    uint c_3 = (uint)0;

    uint2 loop_bound_3 = uint2(4294967295u, 4294967295u);
    bool loop_init_3 = true;
    while(true) {
        if (all(loop_bound_3 == uint2(0u, 0u))) { break; }
        loop_bound_3 -= uint2(loop_bound_3.y == 0u, 1u);
        if (!loop_init_3) {
            uint _e174 = k_6;
            k_6 = (_e174 + 1u);
        }
        loop_init_3 = false;
        uint _e21 = k_6;
        if ((_e21 < DEPTH)) {
        } else {
            break;
        }
        {
            uint _e26 = k_6;
            uint left = ((((buffer_2 * DEPTH) + _e26) * 8u) + y);
            uint _e32 = k_6;
            uint right = ((((buffer_2 * DEPTH) + _e32) * 8u) + x);
            c_2 = 0u;
            uint2 loop_bound_4 = uint2(4294967295u, 4294967295u);
            bool loop_init_4 = true;
            while(true) {
                if (all(loop_bound_4 == uint2(0u, 0u))) { break; }
                loop_bound_4 -= uint2(loop_bound_4.y == 0u, 1u);
                if (!loop_init_4) {
                    uint _e54 = c_2;
                    c_2 = (_e54 + 1u);
                }
                loop_init_4 = false;
                uint _e38 = c_2;
                if ((_e38 < 1u)) {
                } else {
                    break;
                }
                {
                    uint _e44 = c_2;
                    uint _e47 = c_2;
                    float4 _e52 = tile_right[min(uint((right + (_e47 * GROUP_X))), 255u)];
                    b[min(uint(_e44), 1u)] = _e52;
                }
            }
            r_1 = 0u;
            uint2 loop_bound_5 = uint2(4294967295u, 4294967295u);
            bool loop_init_5 = true;
            while(true) {
                if (all(loop_bound_5 == uint2(0u, 0u))) { break; }
                loop_bound_5 -= uint2(loop_bound_5.y == 0u, 1u);
                if (!loop_init_5) {
                    uint _e171 = r_1;
                    r_1 = (_e171 + 1u);
                }
                loop_init_5 = false;
                uint _e58 = r_1;
                if ((_e58 < 1u)) {
                } else {
                    break;
                }
                {
                    uint _e65 = r_1;
                    float4 a = tile_left[min(uint((left + (_e65 * GROUP_Y))), 255u)];
                    c_3 = 0u;
                    uint2 loop_bound_6 = uint2(4294967295u, 4294967295u);
                    bool loop_init_6 = true;
                    while(true) {
                        if (all(loop_bound_6 == uint2(0u, 0u))) { break; }
                        loop_bound_6 -= uint2(loop_bound_6.y == 0u, 1u);
                        if (!loop_init_6) {
                            uint _e168 = c_3;
                            c_3 = (_e168 + 1u);
                        }
                        loop_init_6 = false;
                        uint _e73 = c_3;
                        if ((_e73 < 1u)) {
                        } else {
                            break;
                        }
                        {
                            uint _e80 = r_1;
                            uint _e87 = c_3;
                            uint at_3 = (((4u * _e80) * 1u) + _e87);
                            uint _e93 = c_3;
                            float4 _e95 = b[min(uint(_e93), 1u)];
                            float4 _e98 = sum_1[min(uint(at_3), 15u)];
                            sum_1[min(uint(at_3), 15u)] = mad((a.x).xxxx, _e95, _e98);
                            uint _e109 = c_3;
                            float4 _e111 = b[min(uint(_e109), 1u)];
                            float4 _e119 = sum_1[min(uint((at_3 + 1u)), 15u)];
                            sum_1[min(uint((at_3 + 1u)), 15u)] = mad((a.y).xxxx, _e111, _e119);
                            uint _e130 = c_3;
                            float4 _e132 = b[min(uint(_e130), 1u)];
                            float4 _e140 = sum_1[min(uint((at_3 + 2u)), 15u)];
                            sum_1[min(uint((at_3 + 2u)), 15u)] = mad((a.z).xxxx, _e132, _e140);
                            uint _e153 = c_3;
                            float4 _e155 = b[min(uint(_e153), 1u)];
                            float4 _e165 = sum_1[min(uint((at_3 + 3u)), 15u)];
                            sum_1[min(uint((at_3 + 3u)), 15u)] = mad((a.w).xxxx, _e155, _e165);
                        }
                    }
                }
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
    uint buffer = 0u;
    uint k = DEPTH;
    uint r = 0u;
    uint c = (uint)0;
    bool local_1 = (bool)0;

    uint first_row_1 = ((group.y * GROUP_Y) * ROWS);
    uint first_vector_1 = (group.x * 8u);
    fetch(index, first_row_1, first_vector_1, 0u);
    keep(index, 0u);
    GroupMemoryBarrierWithGroupSync();
    uint2 loop_bound_7 = uint2(4294967295u, 4294967295u);
    bool loop_init_7 = true;
    while(true) {
        if (all(loop_bound_7 == uint2(0u, 0u))) { break; }
        loop_bound_7 -= uint2(loop_bound_7.y == 0u, 1u);
        if (!loop_init_7) {
            uint _e34 = k;
            k = (_e34 + DEPTH);
        }
        loop_init_7 = false;
        uint _e23 = k;
        const uint _e24 = inner();
        if ((_e23 < _e24)) {
        } else {
            break;
        }
        {
            uint _e26 = k;
            fetch(index, first_row_1, first_vector_1, _e26);
            uint _e27 = buffer;
            multiply(_e27, local.x, local.y);
            uint _e31 = buffer;
            buffer = (1u - _e31);
            uint _e33 = buffer;
            keep(index, _e33);
            GroupMemoryBarrierWithGroupSync();
        }
    }
    uint _e37 = buffer;
    multiply(_e37, local.x, local.y);
    uint2 loop_bound_8 = uint2(4294967295u, 4294967295u);
    bool loop_init_8 = true;
    while(true) {
        if (all(loop_bound_8 == uint2(0u, 0u))) { break; }
        loop_bound_8 -= uint2(loop_bound_8.y == 0u, 1u);
        if (!loop_init_8) {
            uint _e96 = r;
            r = (_e96 + 1u);
        }
        loop_init_8 = false;
        uint _e42 = r;
        if ((_e42 < ROWS)) {
        } else {
            break;
        }
        {
            uint _e47 = r;
            uint _e55 = r;
            uint row_4 = ((first_row_1 + (4u * (local.y + (naga_div(_e47, 4u) * GROUP_Y)))) + naga_mod(_e55, 4u));
            c = 0u;
            uint2 loop_bound_9 = uint2(4294967295u, 4294967295u);
            bool loop_init_9 = true;
            while(true) {
                if (all(loop_bound_9 == uint2(0u, 0u))) { break; }
                loop_bound_9 -= uint2(loop_bound_9.y == 0u, 1u);
                if (!loop_init_9) {
                    uint _e93 = c;
                    c = (_e93 + 1u);
                }
                loop_init_9 = false;
                uint _e61 = c;
                if ((_e61 < 1u)) {
                } else {
                    break;
                }
                {
                    uint _e69 = c;
                    uint vector_3 = ((first_vector_1 + local.x) + (_e69 * GROUP_X));
                    const uint _e73 = row_count();
                    if ((row_4 < _e73)) {
                        const uint _e77 = vectors_1();
                        local_1 = (vector_3 < _e77);
                    } else {
                        local_1 = false;
                    }
                    bool _e80 = local_1;
                    if (_e80) {
                        uint _e82 = r;
                        uint _e88 = c;
                        float4 _e91 = sum_1[min(uint(((_e82 * 1u) + _e88)), 15u)];
                        store(row_4, vector_3, _e91);
                    }
                }
            }
        }
    }
    return;
}
