//! Nothing: the tests of this package are in `tests`, and the programs that they compile in `ui`.
