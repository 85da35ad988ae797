// The affinity of softmax attention, before its maximum is taken off: exp(SCALE t).
override SCALE: f32;           // 1 / √h
