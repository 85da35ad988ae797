//! Rows of several files beside each other.
