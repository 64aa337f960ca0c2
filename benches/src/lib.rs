//! Measures jorb, and attacks it: `compare` beside what one would use instead, `torture` on one's own disk.

pub mod compare;
pub mod torture;
