//! Hand-written evidence that each checker must accept and reject.
