// language: metal2.0
#include <metal_stdlib>
#include <simd/simd.h>

using metal::uint;

struct _mslBufferSizes {
    uint size1;
    uint size2;
    uint size3;
    uint size4;
    uint size5;
    uint size6;
};

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
    uint tiles;
};
typedef metal::float4 type_4[1];
typedef Lane type_5[1];
typedef uint type_6[1];
struct type_7 {
    float inner[512];
};
struct type_8 {
    float inner[1024];
};
struct type_9 {
    metal::float2 inner[32];
};
struct type_13 {
    metal::float4 inner[16];
};
struct type_14 {
    float inner[16];
};
struct type_15 {
    float inner[8];
};
constant uint THREADS = 128u;
constant uint TILE = 32u;
constant uint HEADS = 2u;
constant uint HEAD = 16u;
constant uint BLOCK = 16u;
constant uint QUERY_WIDTH = 24u;
constant uint KEY_WIDTH = 44u;
constant uint LOCAL = 16u;
constant uint LOCAL_OFFSET = 0u;
constant uint S_OFFSET = 16u;
constant uint V_OFFSET = 24u;
constant uint GATED = 1u;
constant float BIAS = 1.0;
constant uint ROW_TILE = 32u;
constant uint STAGED = 512u;
constant uint TILE_WEIGHTS = 1024u;
constant uint ITEMS = 1u;
constant uint WEIGHTS = 8u;
constant uint SOURCE = 8u;
constant uint FEATURES = 36u;
constant uint ORDER = 2u;
constant uint EXTENDED = 0u;
constant float SCALE = 0.25;
constant uint DEGREE = 4u;

float gate_decay(
    metal::float2 a,
    metal::float2 b
) {
    return metal::exp(metal::min((a.x - b.x) + (a.y - b.y), 0.0));
}

float factor(
    uint row,
    uint index,
    threadgroup type_7& source
) {
    bool local_7 = {};
    if (false) {
        local_7 = index == SOURCE;
    } else {
        local_7 = false;
    }
    bool _e11 = local_7;
    if (_e11) {
        return 1.0;
    }
    float _e18 = source.inner[(row * SOURCE) + index];
    return _e18;
}

float feature(
    uint row_1,
    uint packed,
    threadgroup type_7& source
) {
    float value_1 = {};
    float _e4 = factor(row_1, packed & 255u, source);
    value_1 = _e4;
    if (true) {
        float _e10 = value_1;
        float _e15 = factor(row_1, (packed >> 8u) & 255u, source);
        value_1 = _e10 * _e15;
    }
    if (false) {
        float _e21 = value_1;
        float _e26 = factor(row_1, (packed >> 16u) & 255u, source);
        value_1 = _e21 * _e26;
    }
    if (false) {
        float _e32 = value_1;
        float _e35 = factor(row_1, packed >> 24u, source);
        value_1 = _e32 * _e35;
    }
    float _e37 = value_1;
    return _e37;
}

float local_weight(
    float t
) {
    float w_1 = 1.0;
    uint m = 0u;
    float s = SCALE * t;
    float square = s * s;
    uint2 loop_bound = uint2(4294967295u);
    bool loop_init = true;
    while(true) {
        if (metal::all(loop_bound == uint2(0u))) { break; }
        loop_bound -= uint2(loop_bound.y == 0u, 1u);
        if (!loop_init) {
            uint _e17 = m;
            m = _e17 + 1u;
        }
        loop_init = false;
        uint _e8 = m;
        if (_e8 < 2u) {
        } else {
            break;
        }
        {
            float _e14 = w_1;
            w_1 = _e14 * square;
        }
    }
    float _e19 = w_1;
    return _e19;
}

uint naga_div(uint lhs, uint rhs) {
    return lhs / metal::select(rhs, 1u, rhs == 0u);
}

uint naga_mod(uint lhs, uint rhs) {
    return lhs % metal::select(rhs, 1u, rhs == 0u);
}

void stage(
    uint lane_head,
    int first_token,
    uint offset,
    uint width,
    uint local_8,
    constant Params& params,
    device type_4 const& queries,
    threadgroup type_7& source,
    constant _mslBufferSizes& _buffer_sizes
) {
    uint i = {};
    metal::float4 value_2 = {};
    bool local_9 = {};
    i = local_8;
    uint2 loop_bound_1 = uint2(4294967295u);
    bool loop_init_1 = true;
    while(true) {
        if (metal::all(loop_bound_1 == uint2(0u))) { break; }
        loop_bound_1 -= uint2(loop_bound_1.y == 0u, 1u);
        if (!loop_init_1) {
            uint _e84 = i;
            i = _e84 + THREADS;
        }
        loop_init_1 = false;
        uint _e6 = i;
        if (_e6 < naga_div(ROW_TILE * width, 4u)) {
        } else {
            break;
        }
        {
            uint _e12 = i;
            int token = as_type<int>(as_type<uint>(first_token) + as_type<uint>(static_cast<int>(naga_div(_e12, naga_div(width, 4u)))));
            value_2 = metal::float4 {};
            if (token >= 0) {
                uint _e26 = params.tokens;
                local_9 = token < static_cast<int>(_e26);
            } else {
                local_9 = false;
            }
            bool _e30 = local_9;
            if (_e30) {
                uint _e34 = params.tokens;
                uint _e43 = i;
                metal::float4 _e49 = queries[naga_div((((lane_head * _e34) + static_cast<uint>(token)) * QUERY_WIDTH) + offset, 4u) + naga_mod(_e43, naga_div(width, 4u))];
                value_2 = _e49;
            }
            uint _e51 = i;
            float _e56 = value_2.x;
            source.inner[_e51 * 4u] = _e56;
            uint _e58 = i;
            float _e65 = value_2.y;
            source.inner[(_e58 * 4u) + 1u] = _e65;
            uint _e67 = i;
            float _e74 = value_2.z;
            source.inner[(_e67 * 4u) + 2u] = _e74;
            uint _e76 = i;
            float _e83 = value_2.w;
            source.inner[(_e76 * 4u) + 3u] = _e83;
        }
    }
    return;
}

struct main_Input {
};
kernel void main_(
  metal::uint3 group [[threadgroup_position_in_grid]]
, uint local [[thread_index_in_threadgroup]]
, constant Params& params [[user(fake0)]]
, device type_4 const& queries [[user(fake0)]]
, device type_4 const& keys [[user(fake0)]]
, device type_5 const& lanes [[user(fake0)]]
, device type_6 const& table [[user(fake0)]]
, device type_4 const& prefix [[user(fake0)]]
, device type_4& o [[user(fake0)]]
, threadgroup type_7& source
, threadgroup type_8& weights
, threadgroup type_9& row_gate
, constant _mslBufferSizes& _buffer_sizes [[user(fake0)]]
) {
    if (local == 0u) {
        for (int __i0 = 0; __i0 < 512; __i0++) {
            source.inner[__i0] = {};
        }
        for (int __i0 = 0; __i0 < 1024; __i0++) {
            weights.inner[__i0] = {};
        }
        for (int __i0 = 0; __i0 < 32; __i0++) {
            row_gate.inner[__i0] = {};
        }
    }
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    bool local_1 = {};
    bool local_2 = {};
    bool local_3 = {};
    type_13 sum = type_13 {};
    type_14 total = type_14 {};
    uint start = 0u;
    type_15 dots = {};
    uint c = {};
    uint k = {};
    uint k_1 = {};
    float w = {};
    bool local_4 = {};
    uint jj = {};
    uint k_2 = {};
    uint start_1 = 0u;
    uint k_3 = {};
    float value = {};
    uint ff = {};
    uint k_4 = {};
    uint k_5 = 0u;
    bool local_5 = {};
    bool local_6 = {};
    uint block = group.y;
    uint _e6 = params.lane_base;
    Lane lane = lanes[_e6 + naga_div(group.z, HEADS)];
    uint head = naga_mod(group.z, HEADS);
    uint _e19 = params.tokens;
    uint end = lane.ring + _e19;
    uint tile = group.x * ROW_TILE;
    uint first = (block * BLOCK) + tile;
    uint rows = metal::min(BLOCK - tile, ROW_TILE);
    if (!((first >= end))) {
        local_1 = (first + rows) <= lane.ring;
    } else {
        local_1 = true;
    }
    bool _e39 = local_1;
    if (_e39) {
        return;
    }
    uint _e43 = params.stride;
    uint block_row = (group.z * _e43) + (block * BLOCK);
    int first_token_1 = as_type<int>(as_type<uint>(static_cast<int>(first)) - as_type<uint>(static_cast<int>(lane.ring)));
    if (true) {
        local_2 = local < ROW_TILE;
    } else {
        local_2 = false;
    }
    bool _e61 = local_2;
    if (_e61) {
        row_gate.inner[local] = metal::float2 {};
        if (local < rows) {
            local_3 = (first + local) < end;
        } else {
            local_3 = false;
        }
        bool _e71 = local_3;
        if (_e71) {
            metal::float4 _e86 = keys[naga_div(((((block_row + tile) + local) * KEY_WIDTH) + V_OFFSET) + HEAD, 4u)];
            row_gate.inner[local] = _e86.xy;
        }
    }
    stage(group.z, first_token_1, LOCAL_OFFSET, LOCAL, local, params, queries, source, _buffer_sizes);
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    uint keys_end = metal::min(tile + rows, end - (block * BLOCK));
    uint2 loop_bound_2 = uint2(4294967295u);
    bool loop_init_2 = true;
    while(true) {
        if (metal::all(loop_bound_2 == uint2(0u))) { break; }
        loop_bound_2 -= uint2(loop_bound_2.y == 0u, 1u);
        if (!loop_init_2) {
            uint _e310 = start;
            start = _e310 + TILE;
        }
        loop_init_2 = false;
        uint _e102 = start;
        if (_e102 < keys_end) {
        } else {
            break;
        }
        {
            uint _e104 = start;
            uint j = _e104 + naga_mod(local, TILE);
            dots = type_15 {};
            if (j < keys_end) {
                uint key = naga_div(((block_row + j) * KEY_WIDTH) + LOCAL_OFFSET, 4u);
                c = 0u;
                uint2 loop_bound_3 = uint2(4294967295u);
                bool loop_init_3 = true;
                while(true) {
                    if (metal::all(loop_bound_3 == uint2(0u))) { break; }
                    loop_bound_3 -= uint2(loop_bound_3.y == 0u, 1u);
                    if (!loop_init_3) {
                        uint _e185 = c;
                        c = _e185 + 1u;
                    }
                    loop_init_3 = false;
                    uint _e120 = c;
                    if (_e120 < 4u) {
                    } else {
                        break;
                    }
                    {
                        uint _e127 = c;
                        metal::float4 k4_ = keys[key + _e127];
                        k = 0u;
                        uint2 loop_bound_4 = uint2(4294967295u);
                        bool loop_init_4 = true;
                        while(true) {
                            if (metal::all(loop_bound_4 == uint2(0u))) { break; }
                            loop_bound_4 -= uint2(loop_bound_4.y == 0u, 1u);
                            if (!loop_init_4) {
                                uint _e182 = k;
                                k = _e182 + 1u;
                            }
                            loop_init_4 = false;
                            uint _e133 = k;
                            if (_e133 < WEIGHTS) {
                            } else {
                                break;
                            }
                            {
                                uint _e138 = k;
                                uint _e144 = c;
                                uint at = ((naga_div(local, TILE) + (_e138 * 4u)) * LOCAL) + (_e144 * 4u);
                                uint _e148 = k;
                                float _e150 = dots.inner[_e148];
                                float _e153 = source.inner[at];
                                float _e160 = source.inner[at + 1u];
                                float _e168 = source.inner[at + 2u];
                                float _e176 = source.inner[at + 3u];
                                dots.inner[_e148] = _e150 + ((((_e153 * k4_.x) + (_e160 * k4_.y)) + (_e168 * k4_.z)) + (_e176 * k4_.w));
                            }
                        }
                    }
                }
            }
            k_1 = 0u;
            uint2 loop_bound_5 = uint2(4294967295u);
            bool loop_init_5 = true;
            while(true) {
                if (metal::all(loop_bound_5 == uint2(0u))) { break; }
                loop_bound_5 -= uint2(loop_bound_5.y == 0u, 1u);
                if (!loop_init_5) {
                    uint _e243 = k_1;
                    k_1 = _e243 + 1u;
                }
                loop_init_5 = false;
                uint _e189 = k_1;
                if (_e189 < WEIGHTS) {
                } else {
                    break;
                }
                {
                    uint _e194 = k_1;
                    uint row_2 = naga_div(local, TILE) + (_e194 * 4u);
                    w = 0.0;
                    if (j <= (tile + row_2)) {
                        local_4 = j < keys_end;
                    } else {
                        local_4 = false;
                    }
                    bool _e206 = local_4;
                    if (_e206) {
                        uint _e207 = k_1;
                        float _e209 = dots.inner[_e207];
                        float _e210 = local_weight(_e209);
                        w = _e210;
                        if (true) {
                            float _e215 = w;
                            metal::float2 _e218 = row_gate.inner[row_2];
                            metal::float4 _e230 = keys[naga_div((((block_row + j) * KEY_WIDTH) + V_OFFSET) + HEAD, 4u)];
                            float _e232 = gate_decay(_e218, _e230.xy);
                            w = _e215 * _e232;
                        }
                    }
                    float _e241 = w;
                    weights.inner[(row_2 * TILE) + naga_mod(local, TILE)] = _e241;
                }
            }
            metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
            jj = 0u;
            uint2 loop_bound_6 = uint2(4294967295u);
            bool loop_init_6 = true;
            while(true) {
                if (metal::all(loop_bound_6 == uint2(0u))) { break; }
                loop_bound_6 -= uint2(loop_bound_6.y == 0u, 1u);
                if (!loop_init_6) {
                    uint _e308 = jj;
                    jj = _e308 + 1u;
                }
                loop_init_6 = false;
                uint _e247 = jj;
                uint _e249 = start;
                if (_e247 < metal::min(TILE, keys_end - _e249)) {
                } else {
                    break;
                }
                {
                    uint _e253 = start;
                    uint _e255 = jj;
                    uint v = naga_div((((block_row + _e253) + _e255) * KEY_WIDTH) + V_OFFSET, 4u);
                    k_2 = 0u;
                    uint2 loop_bound_7 = uint2(4294967295u);
                    bool loop_init_7 = true;
                    while(true) {
                        if (metal::all(loop_bound_7 == uint2(0u))) { break; }
                        loop_bound_7 -= uint2(loop_bound_7.y == 0u, 1u);
                        if (!loop_init_7) {
                            uint _e305 = k_2;
                            k_2 = _e305 + 1u;
                        }
                        loop_init_7 = false;
                        uint _e265 = k_2;
                        if (_e265 < ITEMS) {
                        } else {
                            break;
                        }
                        {
                            uint _e268 = k_2;
                            uint item = local + (_e268 * THREADS);
                            uint _e282 = jj;
                            float w_2 = weights.inner[(naga_mod(naga_div(item, 4u), ROW_TILE) * TILE) + _e282];
                            uint _e286 = k_2;
                            metal::float4 _e288 = sum.inner[_e286];
                            metal::float4 _e297 = keys[v + naga_mod(item, 4u)];
                            sum.inner[_e286] = _e288 + (w_2 * _e297);
                            uint _e300 = k_2;
                            float _e302 = total.inner[_e300];
                            total.inner[_e300] = _e302 + w_2;
                        }
                    }
                }
            }
            metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
        }
    }
    uint _e316 = params.blocks;
    uint z = (((group.z * _e316) + block) * FEATURES) * 17u;
    if ((lane.position + (block * BLOCK)) > lane.ring) {
        stage(group.z, first_token_1, S_OFFSET, SOURCE, local, params, queries, source, _buffer_sizes);
        metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
        uint2 loop_bound_8 = uint2(4294967295u);
        bool loop_init_8 = true;
        while(true) {
            if (metal::all(loop_bound_8 == uint2(0u))) { break; }
            loop_bound_8 -= uint2(loop_bound_8.y == 0u, 1u);
            if (!loop_init_8) {
                uint _e471 = start_1;
                start_1 = _e471 + TILE;
            }
            loop_init_8 = false;
            uint _e337 = start_1;
            if (_e337 < FEATURES) {
            } else {
                break;
            }
            {
                uint _e340 = start_1;
                uint f = _e340 + naga_mod(local, TILE);
                k_3 = 0u;
                uint2 loop_bound_9 = uint2(4294967295u);
                bool loop_init_9 = true;
                while(true) {
                    if (metal::all(loop_bound_9 == uint2(0u))) { break; }
                    loop_bound_9 -= uint2(loop_bound_9.y == 0u, 1u);
                    if (!loop_init_9) {
                        uint _e383 = k_3;
                        k_3 = _e383 + 1u;
                    }
                    loop_init_9 = false;
                    uint _e346 = k_3;
                    if (_e346 < WEIGHTS) {
                    } else {
                        break;
                    }
                    {
                        uint _e351 = k_3;
                        uint row_3 = naga_div(local, TILE) + (_e351 * 4u);
                        value = 0.0;
                        if (f < FEATURES) {
                            uint _e361 = table[f];
                            float _e362 = feature(row_3, _e361, source);
                            value = _e362;
                            if (true) {
                                float _e367 = value;
                                metal::float2 _e370 = row_gate.inner[row_3];
                                float _e372 = gate_decay(_e370, metal::float2 {});
                                value = _e367 * _e372;
                            }
                        }
                        float _e381 = value;
                        weights.inner[(row_3 * TILE) + naga_mod(local, TILE)] = _e381;
                    }
                }
                metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
                ff = 0u;
                uint2 loop_bound_10 = uint2(4294967295u);
                bool loop_init_10 = true;
                while(true) {
                    if (metal::all(loop_bound_10 == uint2(0u))) { break; }
                    loop_bound_10 -= uint2(loop_bound_10.y == 0u, 1u);
                    if (!loop_init_10) {
                        uint _e469 = ff;
                        ff = _e469 + 1u;
                    }
                    loop_init_10 = false;
                    uint _e387 = ff;
                    uint _e390 = start_1;
                    if (_e387 < metal::min(TILE, FEATURES - _e390)) {
                    } else {
                        break;
                    }
                    {
                        uint _e394 = start_1;
                        uint _e395 = ff;
                        uint zrow = naga_div(z + ((_e394 + _e395) * HEAD), 4u);
                        uint _e409 = start_1;
                        uint _e411 = ff;
                        uint _e416 = start_1;
                        uint _e417 = ff;
                        float z_total = prefix[naga_div(((z + 576u) + _e409) + _e411, 4u)][naga_mod(_e416 + _e417, 4u)];
                        k_4 = 0u;
                        uint2 loop_bound_11 = uint2(4294967295u);
                        bool loop_init_11 = true;
                        while(true) {
                            if (metal::all(loop_bound_11 == uint2(0u))) { break; }
                            loop_bound_11 -= uint2(loop_bound_11.y == 0u, 1u);
                            if (!loop_init_11) {
                                uint _e466 = k_4;
                                k_4 = _e466 + 1u;
                            }
                            loop_init_11 = false;
                            uint _e425 = k_4;
                            if (_e425 < ITEMS) {
                            } else {
                                break;
                            }
                            {
                                uint _e428 = k_4;
                                uint item_1 = local + (_e428 * THREADS);
                                uint _e442 = ff;
                                float p = weights.inner[(naga_mod(naga_div(item_1, 4u), ROW_TILE) * TILE) + _e442];
                                uint _e446 = k_4;
                                metal::float4 _e448 = sum.inner[_e446];
                                metal::float4 _e457 = prefix[zrow + naga_mod(item_1, 4u)];
                                sum.inner[_e446] = _e448 + (p * _e457);
                                uint _e460 = k_4;
                                float _e462 = total.inner[_e460];
                                total.inner[_e460] = _e462 + (p * z_total);
                            }
                        }
                    }
                }
                metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
            }
        }
    }
    uint2 loop_bound_12 = uint2(4294967295u);
    bool loop_init_12 = true;
    while(true) {
        if (metal::all(loop_bound_12 == uint2(0u))) { break; }
        loop_bound_12 -= uint2(loop_bound_12.y == 0u, 1u);
        if (!loop_init_12) {
            uint _e542 = k_5;
            k_5 = _e542 + 1u;
        }
        loop_init_12 = false;
        uint _e476 = k_5;
        if (_e476 < ITEMS) {
        } else {
            break;
        }
        {
            uint _e479 = k_5;
            uint item_2 = local + (_e479 * THREADS);
            uint row_4 = naga_div(item_2, 4u);
            int token_1 = as_type<int>(as_type<uint>(first_token_1) + as_type<uint>(static_cast<int>(row_4)));
            if (row_4 < rows) {
                local_5 = token_1 >= 0;
            } else {
                local_5 = false;
            }
            bool _e496 = local_5;
            if (_e496) {
                uint _e501 = params.tokens;
                local_6 = token_1 < static_cast<int>(_e501);
            } else {
                local_6 = false;
            }
            bool _e505 = local_6;
            if (_e505) {
                uint _e511 = params.tokens;
                uint out = (((naga_div(group.z, HEADS) * _e511) + static_cast<uint>(token_1)) * HEADS) + head;
                uint _e531 = k_5;
                metal::float4 _e533 = sum.inner[_e531];
                uint _e535 = k_5;
                float _e537 = total.inner[_e535];
                o[(out * 4u) + naga_mod(item_2, 4u)] = _e533 / metal::float4(BIAS + _e537);
            }
        }
    }
    return;
}
