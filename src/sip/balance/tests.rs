//! Promises of the balance as a whole: who moves, how even, who agrees.
