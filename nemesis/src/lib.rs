//! Fault families and fault plans.
