//! Every kind of object, every way around, every part that may be missing.
