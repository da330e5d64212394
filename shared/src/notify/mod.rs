//! What to say (8), and where.
