//! Nothing: the tests are in `tests`, the programs that they compile in `fail` and `pass`.
