// One sequence's part in a call; the table is written by the host (tensor::Lane).
struct Lane { slot: u32, position: u32, ring: u32, unused: u32 }
